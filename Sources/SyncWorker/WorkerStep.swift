import SyncCore
import Synchronization

/// What the service carries out for the machine.
enum WorkerStep: Sendable {
    case one(WorkerDirective)
    case writes(SandboxWrites)
}

/// Writes of one pass into one sandbox, through one stage.
struct SandboxWrites: Sendable {
    let target: TargetURL
    let stage: StageName
    private(set) var ids: [AssignmentID] = []
    private(set) var edits: [SandboxEdit] = []
    private var byteCount = 0

    /// Content from which on no further write is added.
    private static let bytesMax = 1 << 20

    /// Whether another write may be added.
    var hasRoom: Bool { byteCount < Self.bytesMax }

    init(_ target: TargetURL, through stage: StageName) {
        self.target = target
        self.stage = stage
    }

    /// Adds a write; its place is the same in both lists.
    mutating func add(_ id: AssignmentID, _ edit: SandboxEdit) {
        ids.append(id)
        edits.append(edit)
        byteCount += edit.change.byteCount
    }
}

/// Results of writes, left for the loop by the threads that made them.
///
/// A mailbox and no call of the actor for each: a worker writes thousands a second.
final class Landings: Sendable {
    struct Landing: Sendable {
        let id: AssignmentID
        let target: TargetURL
        let result: Result<Drift?, SandboxError>
    }

    private let waiting = Mutex<[Landing]>([])

    /// Leaves a result; answers whether none was waiting, so that the loop must be woken.
    func add(_ landing: Landing) -> Bool {
        waiting.withLock { waiting in
            waiting.append(landing)
            return waiting.count == 1
        }
    }

    /// Takes what waits, in order.
    func take() -> [Landing] {
        waiting.withLock { waiting in
            defer { waiting = [] }
            return waiting
        }
    }
}
