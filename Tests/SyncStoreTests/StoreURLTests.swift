import SyncStore
import Testing

@Suite struct StoreURLTests {
    @Test(arguments: ["store.db", "/var/lib/syncd/store.db", "a b/ü:x.db", "file:x", "~/x"])
    func `an SQLite store is named by its file`(file: String) throws {
        let url = try StoreURL("sqlite:" + file)
        #expect(url == .sqlite(file: file))
        #expect(try StoreURL(url.description) == url)
        #expect(try StoreURL("SQLite:" + file) == url)
    }

    @Test(arguments: [
        "", "store.db", "sqlite:", "sqlite://store.db", "sqlite::memory:", "sqlite:dir/",
        "sqlite:a\u{0}b", "postgres://user:secret@host/db", "https://secret.convex.cloud", "x:y",
    ])
    func `a text that names no store is refused with a sentence that does not quote it`(
        text: String
    ) {
        let flaw = #expect(throws: StoreURL.Flaw.self) { try StoreURL(text) }
        #expect(flaw?.sentence.hasSuffix(".") == true)
        #expect(flaw?.sentence.contains("secret") == false)
    }
}
