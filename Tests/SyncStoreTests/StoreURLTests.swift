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
        "sqlite:a\u{0}b", "https://secret.convex.cloud", "x:y", "postgres:secret",
        "postgres://u:secret@h/db?secret=1", "postgres://u:sec ret@[h/db",
        "postgres://u:secret%zz@h/db", "postgres://u:s/secret@h/db",
        "postgres://u:s@secret@h/db", "postgres://u@h:secret/db", "convex:", "convex:secret",
        "convex:https://", "convex:https://u:secret@h", "convex:https://h/secret",
        "convex:https://h?key=secret", "convex:https://h#secret", "convex:ftp://secret",
        "convex:https://h:99999", "convex:https://h:secret", "convex:https://[secret",
        "convex:https://[::1]secret", "convex:https://se cret", "convex:https://:1",
    ])
    func `a text that names no store is refused with a sentence that does not quote it`(
        text: String
    ) {
        let flaw = #expect(throws: StoreURL.Flaw.self) { try StoreURL(text) }
        #expect(flaw?.sentence.hasSuffix(".") == true)
        #expect(flaw?.sentence.contains("secret") == false)
    }

    @Test(arguments: [
        ("postgres://u:secret@h:6432/db", "postgres://u@h:6432/db"),
        ("postgresql://u@h/db?password=secret&sslmode=require", "postgres://u@h/db"),
        ("postgres://u:secret@h1:1,h2:2/db", "postgres://u@h1:1,h2:2/db"),
        ("postgres://%2Frun%2Fpg/db?user=u&sslpassword=secret", "postgres://u@%2Frun%2Fpg/db"),
        ("POSTGRES://h/", "postgres://h/"),
    ])
    func `a PostgreSQL store is shown without its password`(text: String, shown: String) throws {
        let url = try StoreURL(text)
        #expect(url.description == shown)
        #expect("\(url)" == shown && !String(reflecting: url).contains("secret"))
    }

    @Test(arguments: [
        ("convex:https://happy-otter-1.convex.cloud", "convex:https://happy-otter-1.convex.cloud"),
        ("CONVEX:HTTPS://Happy.Convex.Cloud/", "convex:https://happy.convex.cloud"),
        ("convex:http://127.0.0.1:3210", "convex:http://127.0.0.1:3210"),
        ("convex:http://[::1]:3210/", "convex:http://[::1]:3210"),
    ])
    func `a Convex store is named by the deployment's URL`(text: String, shown: String) throws {
        let url = try StoreURL(text)
        #expect(url.description == shown)
        #expect(try StoreURL(shown) == url)
    }

    @Test(arguments: [
        ("https://convex.example", true), ("http://localhost:1", true), ("http://127.9.0.1", true),
        ("http://[::1]", true), ("http://example.com", false), ("http://10.0.0.1", false),
        ("http://127.0.0.1.example.com", false), ("http://localhost.example.com", false),
        ("http://[::2]", false),
    ])
    func `a deployment is private over TLS or on this machine`(text: String, isPrivate: Bool) throws
    {
        #expect(try #require(ConvexURL(text)).isPrivate == isPrivate)
    }
}
