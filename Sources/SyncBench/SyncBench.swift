import ArgumentParser
import Foundation

/// `SyncBench`: measures real processes over real sockets, each figure beside a limit of the
/// machine that was measured in the same run.
@main
struct SyncBench: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "SyncBench",
        abstract: "Measures syncd: real processes and sockets, limits of the machine beside them.",
        discussion: """
            Starts the syncd that lies beside this program, in a temporary folder, and ends it \
            again. Only figures of one run can be compared: machines change their speed between runs.

            EXAMPLES
              swift run -c release SyncBench
              swift run -c release SyncBench typing --pairs 3 --json
              swift run -c release SyncBench isolation --beside flood
              swift run -c release SyncBench growth --part files --files-max 100000
            """,
        subcommands: [
            MeasureCommand.self, FloodCommand.self, BareDrainCommand.self, AnswerCommand.self,
            SubscribeCommand.self, NullWorkerCommand.self,
        ],
        defaultSubcommand: MeasureCommand.self)
}

/// Runs workloads and prints their reports.
struct MeasureCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "measure", abstract: "Runs workloads and prints their reports.")

    @Argument(
        help: """
            distinct, typing, agent, latency, fanout, growth, restart, idle, placement or \
            isolation; without one: the first four.
            """)
    var workloads: [WorkloadName] = []

    @OptionGroup var options: BenchOptions

    func run() async throws {
        Interruption.endChildren()
        let names = workloads.isEmpty ? [.distinct, .typing, .agent, .latency] : workloads
        var reports: [WorkloadReport] = []
        for name in names {
            for workload in try name.workloads(options) {
                let report = try await measure(workload)
                if !options.isJSON { BenchOutput.write(report.text) }
                reports.append(report)
            }
        }
        if options.isJSON { try BenchOutput.write(json: reports) }
        // A target that was missed is an exit code, so that a script can ask for it.
        if reports.contains(where: { !$0.isWithinTargets }) { throw ExitCode(1) }
    }

    /// Measures until there are enough pairs; as many may be thrown away as unsteady.
    private func measure(_ workload: any Workload) async throws -> WorkloadReport {
        let wanted = options.pairs ?? workload.pairsStandard
        var pairs: [Pair] = []
        var discarded = 0
        var unsteady = 0
        while pairs.count < wanted {
            BenchOutput.progress("\(workload.name): pair \(pairs.count + 1) of \(wanted)")
            let (pair, isSteady) = try await probed(workload)
            if !isSteady, discarded < wanted {
                discarded += 1
                continue
            }
            if !isSteady { unsteady += 1 }
            pairs.append(pair)
        }
        return WorkloadReport(
            of: workload, pairs: pairs, discarded: discarded, unsteady: unsteady)
    }

    /// One pair between two probes of the machine.
    private func probed(
        _ workload: any Workload
    ) async throws -> (pair: Pair, isSteady: Bool) {
        let folder = try BenchFolder(in: options.folder)
        defer { folder.remove() }
        let before = try await MachineProbe.take(in: folder.path)
        let pair = try await workload.pair(in: folder)
        let after = try await MachineProbe.take(in: folder.path)
        let isSteady = before.isSteady(to: after)
        if !isSteady {
            BenchOutput.progress(
                "\(workload.name): the machine changed its speed, before: \(before.text); after: "
                    + after.text)
        }
        return (pair, isSteady)
    }
}

/// What every workload takes.
struct BenchOptions: ParsableArguments {
    @Flag(name: .customLong("json"), help: "Print one JSON array.")
    var isJSON = false

    @Option(
        help: """
            Pairs of a measurement and its limit; the medians are told (5; growth, restart, idle \
            and placement 1).
            """)
    var pairs: Int?

    @Option(
        help: """
            Edits; 20,000 distinct and fanout, 100,000 typing and restart, 200,000 agent, 6,000 \
            latency, 2,000 isolation.
            """)
    var edits: Int?

    @Option(help: "Worker processes (2; idle 16).")
    var workers: Int?

    @Option(help: "Bytes of content of an edit.")
    var bytes = 2_048

    @Option(help: "Edits a second of the open loops.")
    var rate = 200

    @Option(help: "Folder for journals, stores and sandboxes; the system's temporary one.")
    var folder: String?

    @Option(help: "Neighbours for isolation: flood, failing, hanging, stopped; all of them.")
    var beside: [Neighbour] = []

    @Option(name: .customLong("part"), help: "Parts of growth: files, workers, content; all.")
    var parts: [GrowthPart] = []

    @Option(help: "Most files of growth (1,000,000) and of placement (10,000,000).")
    var filesMax: Int?

    @Option(help: "Seconds of nothing for idle.")
    var seconds = 600

    func validate() throws {
        guard pairs.map({ $0 >= 1 }) ?? true, edits.map({ $0 >= 1 }) ?? true,
            workers.map({ 1...64 ~= $0 }) ?? true, 32...(1 << 20) ~= bytes, 1...10_000 ~= rate,
            filesMax.map({ $0 >= 1_000 }) ?? true, 1...86_400 ~= seconds
        else {
            throw ValidationError(
                "--pairs and --edits are 1 or more, --workers 1 to 64, --bytes 32 to 1048576, "
                    + "--rate 1 to 10000, --files-max 1000 or more, --seconds 1 to 86400.")
        }
    }
}

/// A measurement that can be asked for.
enum WorkloadName: String, ExpressibleByArgument, CaseIterable {
    case distinct, typing, agent, latency, fanout, growth, restart, idle, placement, isolation

    func workloads(_ options: BenchOptions) throws -> [any Workload] {
        switch self {
        case .distinct: [DistinctWorkload(size: WorkloadSize(options, edits: 20_000))]
        case .typing: [TypingWorkload(size: WorkloadSize(options, edits: 100_000))]
        case .agent: [AgentWorkload(size: WorkloadSize(options, edits: 200_000))]
        case .latency: [LatencyWorkload(size: WorkloadSize(options, edits: 6_000))]
        case .fanout: [FanoutWorkload(size: WorkloadSize(options, edits: 20_000))]
        case .growth:
            (options.parts.isEmpty ? GrowthPart.allCases : options.parts).map {
                $0.workload(options)
            }
        case .restart: [RestartWorkload(size: WorkloadSize(options, edits: 100_000))]
        case .idle:
            [
                IdleWorkload(
                    size: WorkloadSize(options, edits: 0, workers: 16), seconds: options.seconds)
            ]
        case .placement:
            [
                PlacementWorkload(
                    size: WorkloadSize(options, edits: 0), files: options.filesMax ?? 10_000_000)
            ]
        case .isolation:
            (options.beside.isEmpty ? Neighbour.allCases : options.beside).map {
                IsolationWorkload(neighbour: $0, size: WorkloadSize(options, edits: 2_000))
            }
        }
    }
}

/// How much a workload does.
struct WorkloadSize: Sendable {
    let edits: Int
    let bytes: Int
    let workers: Int
    /// Edits a second of an open loop.
    let rate: Int

    /// As asked for; `edits` and `workers` when nothing was said.
    init(_ options: BenchOptions, edits: Int, workers: Int = 2) {
        self.edits = options.edits ?? edits
        self.workers = options.workers ?? workers
        bytes = options.bytes
        rate = options.rate
    }
}

/// One kind of measurement; a pair is one measurement and the limit beside it.
protocol Workload: Sendable {
    var name: String { get }
    var size: WorkloadSize { get }
    /// What was measured, in words and numbers.
    var setup: String { get }
    /// How many pairs are measured when nothing was said.
    var pairsStandard: Int { get }
    func pair(in folder: BenchFolder) async throws -> Pair
}

extension Workload {
    /// Enough for a median.
    var pairsStandard: Int { 5 }
}

/// A measurement that could not be made.
struct BenchError: Error, CustomStringConvertible {
    let description: String
    init(_ description: String) { self.description = description }
}
