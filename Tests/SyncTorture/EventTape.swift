import SyncCore
import SyncTestKit
import SyncTransport

/// A monitor that has followed from the first event on: what it heard, in order, and the state of
/// the files that it makes of it.
actor EventTape {
    private(set) var events: [StatusEvent] = []
    private(set) var flaws: [String] = []
    private var boards: [ProjectName: StatusBoard] = [:]
    private var following: Task<Void, Never>?

    /// Number of the last event.
    var last: UInt64 { events.last?.number ?? 0 }

    /// Files that are not at rest, as this monitor knows them.
    func restless(_ project: ProjectName) -> [FileView] { boards[project]?.restless ?? [] }

    /// Follows over a connection of its own.
    func follow(_ status: String, asking producer: Producer) async throws {
        let ear = StatusEar(status, prefix: EventCursor.Scope.all.prefix, on: producer.loop)
        let notices = await ear.listen()
        try await ear.open()
        following = Task {
            var follower = EventFollower(
                EventCursor(.all, from: 1), notices: notices, producer: producer)
            do {
                while let item = try await follower.next() { take(item) }
            } catch is CancellationError {
                return
            } catch {
                flaws.append("the monitor was refused: \(error)")
            }
        }
    }

    /// Takes what was found wrong since the last call.
    func takeFlaws() -> [String] {
        defer { flaws = [] }
        return flaws
    }

    /// Ends the following.
    func stop() { following?.cancel() }

    private func take(_ item: EventFollower.Item) {
        switch item {
        case .event(let event):
            events.append(event)
            _ = boards[event.project, default: StatusBoard()].take(event)
        case .gap(let numbers): flaws.append("the monitor lost the events \(numbers)")
        case .rewound(let number): flaws.append("the log was rewound to \(number)")
        case .connection: break
        }
    }
}
