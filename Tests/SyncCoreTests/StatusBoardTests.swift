import SyncCore
import SyncTestKit
import Testing

@Suite struct StatusBoardTests {
    private static func event(
        _ kind: EventKind, _ path: String, edit: UInt64, number: UInt64 = 0, version: UInt64 = 0,
        by: UInt64 = 0, code: String = ""
    ) -> StatusEvent {
        StatusEvent(
            kind, project: MachineCluster.project, path: MachineCluster.path(path),
            sequence: EditSequence(edit), version: Version(version), by: EditSequence(by),
            code: code, reason: code.isEmpty ? "" : "a reason", number: number)
    }

    private static func status(_ path: String, _ state: String, edit: UInt64) -> FileStatus {
        FileStatus(
            path: MachineCluster.path(path), state: state, sequence: EditSequence(edit),
            code: state == "failed" ? "EACCES" : "", reason: "",
            acceptedAt: Timestamp(milliseconds: 0))
    }

    @Test func `a file is syncing from its acceptance to its end`() {
        var board = StatusBoard()
        let path = MachineCluster.path("f")
        #expect(board.take(Self.event(.accepted, "f", edit: 1)) == path)
        #expect(board[path].isSyncing)
        _ = board.take(Self.event(.stored, "f", edit: 1, version: 1))
        _ = board.take(Self.event(.synced, "f", edit: 1, version: 1))
        #expect(board[path].isAtRest)
        #expect(board[path].version == Version(1))
    }

    @Test func `the end of an older edit does not end the newer one`() {
        var board = StatusBoard()
        let path = MachineCluster.path("f")
        _ = board.take(Self.event(.accepted, "f", edit: 1))
        _ = board.take(Self.event(.accepted, "f", edit: 2))
        _ = board.take(Self.event(.synced, "f", edit: 1, version: 1))
        #expect(board[path].isSyncing)
        #expect(board.take(Self.event(.failed, "f", edit: 1, code: "EIO")) == nil)
        _ = board.take(Self.event(.synced, "f", edit: 2, version: 2))
        #expect(board[path].isAtRest)
    }

    @Test func `an error is shown until a newer edit or a retry`() {
        var board = StatusBoard()
        let path = MachineCluster.path("f")
        _ = board.take(Self.event(.accepted, "f", edit: 1))
        _ = board.take(Self.event(.failed, "f", edit: 1, code: "EACCES"))
        #expect(board[path].hasFailed)
        #expect(!board[path].isSyncing)
        #expect(board[path].trouble?.code == "EACCES")
        _ = board.take(Self.event(.retried, "f", edit: 1))
        #expect(board[path].isSyncing)
        _ = board.take(Self.event(.failed, "f", edit: 1, code: "EACCES"))
        _ = board.take(Self.event(.accepted, "f", edit: 2))
        #expect(board[path].trouble == nil)
        #expect(!board[path].hasFailed)
    }

    // Trace C13.
    @Test func `an end that is told before the acceptance stays the end`() {
        var board = StatusBoard()
        let path = MachineCluster.path("f")
        _ = board.take(Self.event(.synced, "f", edit: 4, version: 2))
        let hasChanged = board.accepted(EditSequence(4), of: path)
        #expect(!hasChanged)
        #expect(board[path].isAtRest)
    }

    // Trace A14.
    @Test func `events that a page of the snapshot has already are left out, page by page`() {
        var board = StatusBoard()
        board.beginSnapshot()
        _ = board.take(
            page: [Self.status("a", "waiting", edit: 1)], number: 10, next: MachineCluster.path("a")
        )
        _ = board.take(page: [Self.status("z", "failed", edit: 2)], number: 14, next: nil)
        // 12 is after the page of "a", and before the page of "z", which has the failure already.
        #expect(board.take(Self.event(.synced, "a", edit: 1, number: 12, version: 1)) != nil)
        #expect(board.take(Self.event(.retrying, "z", edit: 2, number: 13, code: "EIO")) == nil)
        #expect(board[MachineCluster.path("z")].hasFailed)
        #expect(board.take(Self.event(.discarded, "z", edit: 2, number: 15)) != nil)
        #expect(board.restless.isEmpty)
    }

    @Test func `a snapshot settles what it does not name`() {
        var board = StatusBoard()
        _ = board.take(Self.event(.accepted, "b", edit: 1))
        _ = board.take(Self.event(.accepted, "d", edit: 2))
        board.beginSnapshot()
        let first = board.take(
            page: [Self.status("a", "waiting", edit: 3)], number: 9, next: MachineCluster.path("c"))
        #expect(Set(first.map(\.text)) == ["a", "b"])
        #expect(board[MachineCluster.path("d")].isSyncing)
        _ = board.take(page: [], number: 9, next: nil)
        #expect(board.restless.map(\.path.text) == ["a"])
    }

    @Test func `an own end tells its version, before a snapshot that does not name it and after`() {
        let path = MachineCluster.path("f")
        for isEndFirst in [true, false] {
            var board = StatusBoard()
            _ = board.accepted(EditSequence(1), of: path)
            if isEndFirst { _ = board.synced(EditSequence(1), of: path, version: Version(1)) }
            board.beginSnapshot()
            _ = board.take(page: [], number: 9, next: nil)
            if !isEndFirst { _ = board.synced(EditSequence(1), of: path, version: Version(1)) }
            #expect(board[path].isAtRest)
            #expect(board[path].version == Version(1))
        }
    }

    @Test func `files at rest are forgotten beyond the limit, the longest known first`() {
        var board = StatusBoard(filesMax: 2)
        for number in 1...3 {
            let path = "f\(number)"
            _ = board.take(Self.event(.accepted, path, edit: UInt64(number)))
            _ = board.take(Self.event(.synced, path, edit: UInt64(number), version: 1))
        }
        _ = board.take(Self.event(.accepted, "moving", edit: 9))
        #expect(board[MachineCluster.path("f1")].version == nil)
        #expect(board[MachineCluster.path("f2")].version == Version(1))
        #expect(board[MachineCluster.path("moving")].isSyncing)
    }

    @Test func `only what lies below the prefix is kept`() {
        var board = StatusBoard(prefix: "src")
        #expect(board.take(Self.event(.accepted, "src/a", edit: 1)) != nil)
        #expect(board.take(Self.event(.accepted, "srcs", edit: 2)) == nil)
        #expect(board.restless.map(\.path.text) == ["src/a"])
    }
}
