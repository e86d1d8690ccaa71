import Foundation
import SyncCore
import SyncSandbox
import SyncTestKit
import Testing

/// Markers tell the sandbox that was filled from a copy of it, which may be older.
@Suite struct MarkerCopyTests {
    private static let marker = SandboxMarker(
        journal: JournalID(bits: 7), project: .demo, generation: 3, bootID: "boot")

    @Test func `a marker that came with a copy of the sandbox has no generation`() async throws {
        let sandbox = try LocalSandbox()
        defer { sandbox.remove() }
        let writer = try sandbox.writer()
        try await writer.mark(Self.marker)
        #expect(try await writer.marker() == Self.marker)
        let files = FileManager.default
        try files.copyItem(atPath: sandbox.path, toPath: sandbox.path + ".copy")
        try files.moveItem(atPath: sandbox.path, toPath: sandbox.path + ".former")
        try files.moveItem(atPath: sandbox.path + ".copy", toPath: sandbox.path)
        #expect(try await writer.marker()?.generation == 0)
        #expect(try await writer.marker()?.project == .demo)
        // Marked anew, it is the one that was filled; so is the former one in its old place.
        try await writer.mark(Self.marker)
        #expect(try await writer.marker() == Self.marker)
        try files.removeItem(atPath: sandbox.path)
        try files.moveItem(atPath: sandbox.path + ".former", toPath: sandbox.path)
        #expect(try await writer.marker() == Self.marker)
    }
}
