import DequeModule

/// What waits for the next turn: edits project by project, everything else as it came.
///
/// Edits leave by deficit round robin (Shreedhar and Varghese, 1995): each project in turn may take
/// edits worth a quantum; who takes more owes it in the next rounds. A project that had nothing
/// waiting goes first, so that a keystroke never queues behind another project's flood. Messages
/// are taken in parts, so that a long one holds nobody up for long; parts of a project keep their
/// order.
struct IntakeInbox: Sendable {
    /// Edits in one part.
    static let partEditsMax = 16
    /// What a project may take in one turn of the round; in bytes, as ``cost(of:)`` counts.
    static let quantum = 64 << 10
    /// What an edit costs beside its content, in bytes.
    private static let editCost = 2 << 10

    private struct Message: Sendable {
        let route: ClientRoute
        let producer: ProducerID
        let number: UInt64
        var items: ArraySlice<EditItem>
    }

    private struct Line: Sendable {
        var messages: Deque<Message> = []
        var editCount = 0
        var byteCount = 0
        var deficit = 0
    }

    private var others: Deque<TurnInput> = []
    private var lines: [ProjectName: Line] = [:]
    /// Projects that had nothing waiting; they go before the round, once.
    private var fresh: Deque<ProjectName> = []
    private var round: Deque<ProjectName> = []
    private var lastMessage: UInt64 = 0
    /// Edits that wait.
    private(set) var editCount = 0
    /// Entries of the failed list that waiting orders name.
    private(set) var orderedCount = 0
    /// Bytes of their content.
    private(set) var byteCount = 0

    /// Whether nothing waits.
    var isEmpty: Bool { others.isEmpty && lines.isEmpty }

    /// Whether a project waits that had nothing waiting before.
    var hasFresh: Bool { !fresh.isEmpty }

    /// Whether what comes out next may go in a flood's pause.
    var hasUrgent: Bool { hasOthers || hasFresh }

    /// Edits and bytes of one project that wait.
    func load(of project: ProjectName) -> (edits: Int, bytes: Int) {
        lines[project].map { ($0.editCount, $0.byteCount) } ?? (0, 0)
    }

    /// Whether a registration waits that is so.
    func hasRegistration(where predicate: (Registration) -> Bool) -> Bool {
        others.contains { input in
            guard case .register(_, let registration) = input else { return false }
            return predicate(registration)
        }
    }

    /// Numbers of a worker's reports that wait, here or in the turn on its way to disk.
    func waitingReports(of incarnation: Incarnation, besides taken: [TurnInput]) -> [UInt64] {
        (others + taken).flatMap { input -> [UInt64] in
            guard case .reports(incarnation, let reports) = input else { return [] }
            return reports.map(\.number)
        }
    }

    /// A worker's reports without those that wait already: they come again until they are
    /// acknowledged.
    func without(
        waiting reports: [NumberedReport], of incarnation: Incarnation, besides taken: [TurnInput]
    ) -> [NumberedReport] {
        let waiting = Set(waitingReports(of: incarnation, besides: taken))
        return waiting.isEmpty ? reports : reports.filter { !waiting.contains($0.number) }
    }

    /// Adds something that is no edit.
    mutating func append(_ input: TurnInput) {
        orderedCount += input.orderedCount
        others.append(input)
    }

    /// Puts back what a turn had taken, edits excepted.
    mutating func prepend(contentsOf inputs: [TurnInput]) {
        for input in inputs { orderedCount += input.orderedCount }
        others.prepend(contentsOf: inputs)
    }

    /// Adds the edits of a message.
    mutating func append(
        _ items: [EditItem], of producer: ProducerID, project: ProjectName, route: ClientRoute
    ) {
        lastMessage += 1
        let bytes = items.reduce(0) { $0 + $1.byteCount }
        if lines[project] == nil { fresh.append(project) }
        lines[project, default: Line()].messages.append(
            Message(route: route, producer: producer, number: lastMessage, items: items[...]))
        lines[project]?.editCount += items.count
        lines[project]?.byteCount += bytes
        editCount += items.count
        byteCount += bytes
    }

    /// Whether anything but edits waits.
    var hasOthers: Bool { !others.isEmpty }

    /// Takes edits out, to be put off; the message in front stays when one is to be kept.
    ///
    /// - Returns: The rest of each message, as its last part.
    mutating func removeEdits(keepingOne: Bool) -> [EditPart] {
        var kept: (project: ProjectName, message: Message)?
        if keepingOne, let project = fresh.first ?? round.first,
            let message = lines[project]?.messages.popFirst()
        {
            kept = (project, message)
        }
        let parts = lines.sorted { $0.key < $1.key }.flatMap { project, line in
            line.messages.map { message in
                EditPart(
                    route: message.route, project: project, producer: message.producer,
                    items: message.items, message: message.number, isLast: true)
            }
        }
        lines = [:]
        fresh = []
        round = []
        editCount = kept?.message.items.count ?? 0
        byteCount = kept?.message.items.reduce(0) { $0 + $1.byteCount } ?? 0
        if let (project, message) = kept {
            lines[project] = Line(
                messages: [message], editCount: editCount, byteCount: byteCount)
            fresh = [project]
        }
        return parts
    }

    /// Takes the next that is to be staged: what is no edit first, then edits by the round.
    mutating func popFirst() -> TurnInput? {
        if let other = others.popFirst() {
            orderedCount -= other.orderedCount
            return other
        }
        return popEdits().map { .edits($0) }
    }

    /// Takes the next edits by the round, whatever else waits.
    mutating func popEdits() -> EditPart? {
        while let project = fresh.first ?? round.first {
            guard var line = lines.removeValue(forKey: project) else {
                preconditionFailure("a project is in the round without a line")
            }
            if line.deficit <= 0 { line.deficit += Self.quantum }
            guard line.deficit > 0, let part = takePart(from: &line, of: project) else {
                lines[project] = line
                turnRound()
                continue
            }
            if line.messages.isEmpty {
                leaveRound()
            } else {
                lines[project] = line
                if line.deficit <= 0 { turnRound() }
            }
            editCount -= part.items.count
            byteCount -= part.byteCount
            return part
        }
        return nil
    }

    private mutating func takePart(from line: inout Line, of project: ProjectName) -> EditPart? {
        guard var message = line.messages.popFirst() else { return nil }
        var count = 0
        var cost = 0
        for item in message.items.prefix(Self.partEditsMax) {
            if count > 0, cost + Self.cost(of: item) > line.deficit { break }
            count += 1
            cost += Self.cost(of: item)
        }
        let part = EditPart(
            route: message.route, project: project, producer: message.producer,
            items: message.items.prefix(count), message: message.number,
            isLast: count == message.items.count)
        line.deficit -= max(cost, 1)
        line.editCount -= count
        line.byteCount -= part.byteCount
        message.items = message.items.dropFirst(count)
        if !part.isLast { line.messages.prepend(message) }
        return part
    }

    private static func cost(of item: EditItem) -> Int { editCost + item.byteCount }

    /// The project in front has had its turn and goes to the end.
    private mutating func turnRound() {
        if let project = fresh.popFirst() ?? round.popFirst() { round.append(project) }
    }

    /// The project in front has nothing left.
    private mutating func leaveRound() { _ = fresh.popFirst() ?? round.popFirst() }
}

/// Which projects had something to do of late, and which of them flood the others.
///
/// Alone, a project gets big turns and the whole credit of its targets, and so do projects that all
/// have more to do than is done at once: batches are what makes them fast. Beside a quiet project a
/// flood gets small ones, because the other's edits wait as long as the flood's batch takes. Who
/// lags a little is no flood: a project that falls behind because of one must not be held up more.
struct ActiveProjects: Sendable {
    /// How long a project counts after its last edit or assignment.
    static let memory: Duration = .seconds(1)
    /// Projects that are remembered; two are enough to know that it is shared.
    private static let countMax = 64

    private var seen: [ProjectName: Instant] = [:]
    /// Projects with much to do beside quiet ones.
    private(set) var floods: Set<ProjectName> = []

    /// Whether a quiet project has work beside a flood.
    var isShared: Bool { !floods.isEmpty }

    /// Notes that a project has something to do.
    mutating func note(_ project: ProjectName, at now: Instant) {
        if seen[project] == nil, seen.count >= Self.countMax { forget(at: now) }
        if seen[project] == nil, seen.count >= Self.countMax { return }
        seen[project] = now
    }

    /// Forgets who had nothing to do of late.
    mutating func forget(at now: Instant) {
        guard seen.count > 1, seen.values.contains(where: { now - $0 >= Self.memory }) else {
            return
        }
        seen = seen.filter { now - $0.value < Self.memory }
    }

    /// Finds the floods: what waits of them is more than a quiet project may have, and more than a
    /// quarter of the most that waits of any.
    mutating func findFloods(quietMax: Int, waiting: (ProjectName) -> Int) {
        floods = []
        guard seen.count > 1 else { return }
        let counts = seen.keys.map { ($0, waiting($0)) }
        let most = counts.map(\.1).max() ?? 0
        guard most > quietMax else { return }
        let large = counts.filter { $0.1 > quietMax && $0.1 * 4 > most }
        if large.count < counts.count { floods = Set(large.map(\.0)) }
    }
}
