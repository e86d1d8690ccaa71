import Foundation
import SyncCore
import SyncTestKit
import Synchronization
import Testing

@testable import SyncStore

/// A deployment of Convex and the stores that a test opens on it, all closed at the end.
final class ConvexScene: Sendable {
    let server: ConvexServer
    private let stores = Mutex<[ConvexStore]>([])

    private init(_ server: ConvexServer) { self.server = server }

    /// Runs a test's body with a deployment of its own.
    static func with(_ body: (ConvexScene) async throws -> Void) async throws {
        try await ConvexServer.with { server in
            let scene = ConvexScene(server)
            do {
                try await body(scene)
            } catch {
                await scene.close()
                throw error
            }
            await scene.close()
        }
    }

    private func close() async {
        for store in stores.withLock({ $0 }) { await store.close() }
    }

    /// How the deployment is used; repetitions come at once.
    func settings(key: String = ConvexServer.key) throws -> ConvexSettings {
        var settings = ConvexSettings(
            try #require(ConvexURL(server.url)), key: try #require(ConvexKey(key)))
        settings.patience = Patience.stretched(.seconds(60))
        settings.answerWait = Patience.stretched(.seconds(30))
        settings.repeatWait = .milliseconds(1)
        settings.repeatWaitMax = .milliseconds(20)
        return settings
    }

    /// One more worker's store.
    func store(
        versionsKept: Int = StoreConformance.versionsKept, idIfNew: UInt64 = 0xC0FFEE,
        _ change: (inout ConvexSettings) -> Void = { _ in }
    ) async throws -> ConvexStore {
        var settings = try settings()
        change(&settings)
        return kept(
            try await ConvexStore(settings, versionsKept: versionsKept, idIfNew: idIfNew))
    }

    /// One that gives its calls up soon.
    func impatient() async throws -> ConvexStore {
        var settings = try settings()
        settings.patience = Patience.stretched(.seconds(2))
        settings.answerWait = Patience.stretched(.seconds(1))
        return kept(ConvexStore(unopened: settings, versionsKept: StoreConformance.versionsKept))
    }

    /// One more reader's.
    func reader() async throws -> ConvexStore {
        kept(try await ConvexStore(readingOnly: settings()))
    }

    private func kept(_ store: ConvexStore) -> ConvexStore {
        stores.withLock { $0.append(store) }
        return store
    }
}

/// Expects a failure of a store that tells no secret, and gives its sentence.
func convexFailure(
    _ code: StoreError.Code = .unavailable, at location: SourceLocation = #_sourceLocation,
    _ body: () async throws -> Void
) async throws -> String {
    do {
        try await body()
    } catch let error as StoreError {
        #expect(error.code == code, "\(error.message)", sourceLocation: location)
        #expect(!error.message.contains("secret"), sourceLocation: location)
        #expect(error.message.hasSuffix("."), "\(error.message)", sourceLocation: location)
        return error.message
    }
    Issue.record("the store did not fail", sourceLocation: location)
    return ""
}
