import Foundation
import SyncTestKit
import Testing

/// What *Operating* shows was said by a process of this very run.
struct QuoteTests {
    /// Where the other tests have noted what processes said.
    private static let said = ProcessInfo.processInfo.environment["SYNCD_TEST_QUOTES_SAID"]

    @Test(.enabled(if: said != nil, "deploy/test runs it when all other tests have run"))
    func `no quote of the article Operating is dead`() throws {
        let dead = try OperatingArticle.deadQuotes(notedIn: #require(Self.said))
        #expect(dead.isEmpty, "nobody said: \(dead.joined(separator: "\n"))")
    }
}
