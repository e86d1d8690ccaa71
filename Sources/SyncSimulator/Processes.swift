import DequeModule
import SyncCore

/// What a client sends: its request under a name that the answer bears.
struct Asked {
    let request: UInt64
    let body: ClientRequest
}

/// What a client hears.
struct Answered {
    let request: UInt64
    let body: ClientReply
}

typealias WorkerLinkEnd = SimulatedLink<WorkerMessage, CoordinatorMessage>
typealias ClientLinkEnd = SimulatedLink<Asked, Answered>

/// One life of the coordinator.
final class CoordinatorProcess: SimulatedProcess {
    var machine: CoordinatorMachine
    var clock: SimulatedClock
    var fromWorkers = Deque<(route: WorkerRoute, message: WorkerMessage)>()
    var fromClients = Deque<(connection: UInt64, asked: Asked)>()
    var marksAt: Nanoseconds = 0
    var rates = RateBook()
    /// Transaction on its way to disk.
    var committing: JournalTransaction?
    /// Passes in the current simulated second, to notice a machine that spins.
    var passes: (second: Nanoseconds, count: Int) = (0, 0)
    /// When it has read its journal.
    private let startsAt: Nanoseconds

    /// Whether its sockets are there: before, nobody can connect.
    private(set) var isListening = false

    init(machine: CoordinatorMachine, clock: SimulatedClock, startsAt: Nanoseconds) {
        self.machine = machine
        self.clock = clock
        self.startsAt = startsAt
    }

    override var name: String { "coordinator" }

    override func pass(in cluster: SimulatedCluster) {
        let now = cluster.agenda.now
        if now < startsAt { return cluster.wake(self, after: startsAt - now) }
        isListening = true
        cluster.pass(self)
    }

    /// Looks at the machine where it is; a property's getter would be given a copy.
    func look<Result>(_ body: (inout CoordinatorMachine) -> Result) -> Result { body(&machine) }
}

/// One life of a worker.
final class WorkerProcess: SimulatedProcess {
    let slot: Int
    let life: UInt64
    var machine: WorkerMachine
    var clock: SimulatedClock
    let bootID: String
    let link = WorkerLinkEnd(queues: false)
    var doom: Doom?
    /// Whether it is told to drain while its next assignment is on the way.
    var drainsWhenGiven = false
    /// For how long it is to be stopped while edits wait for the store and its next grant is on the
    /// way.
    var pausesWhenGranted: Nanoseconds?
    /// Edits in calls of the store that have not come back.
    var storing = 0
    /// For how long its line is to be cut while its next assignment is on the way.
    var cutsWhenGiven: Nanoseconds?
    var inbox = Deque<CoordinatorMessage>()
    var lease: (incarnation: Incarnation?, until: Instant) = (nil, Instant(nanoseconds: 0))
    var journal: JournalID?
    var incarnation: Incarnation?

    init(
        slot: Int, life: UInt64, machine: WorkerMachine, clock: SimulatedClock, bootID: String
    ) {
        self.slot = slot
        self.life = life
        self.machine = machine
        self.clock = clock
        self.bootID = bootID
    }

    override var name: String { "w\(slot + 1).\(life)" }

    override func pass(in cluster: SimulatedCluster) { cluster.pass(self) }

    /// How a process ends that its parent kills after it was expelled.
    static let expelled = "is killed, being expelled"
}

/// One life of a producer.
final class ProducerProcess {
    /// An edit that is not answered.
    struct Pending {
        let edit: Edit
        let since: Nanoseconds
        var dueAt: Nanoseconds
        /// Whether the last answer was `busy`.
        var wasBusy = false
    }

    let index: Int
    let id: ProducerID
    let project: ProjectName
    let link = ClientLinkEnd(queues: true)
    var isAlive = true
    var lastNumber: UInt64 = 0
    var pending: [UInt64: Pending] = [:]
    /// Numbers that were accepted, to ask about.
    var accepted: [UInt64] = []

    init(index: Int, id: ProducerID, project: ProjectName) {
        self.index = index
        self.id = id
        self.project = project
    }
}

/// A question that is not about an edit's acceptance, until it is answered.
struct Question {
    enum Body {
        case flush(prefix: String)
        case wait(EditID)
        case replay(from: UInt64)
        case snapshot
        case queue
        case died(life: UInt64, isKilled: Bool)
        case project(ProjectAction)
        case order(FailedOrder)
    }

    let body: Body
    let project: ProjectName
    let link: ClientLinkEnd
    /// The connection over which it was asked; nil: it waited for one.
    let connection: UInt64?
    let askedAt: Nanoseconds
    /// Files of a flush and what each must have reached, once the coordinator has it.
    var needed: [FileKey: EditSequence]?
    /// Targets that were attached then.
    var targets: [TargetURL] = []
}
