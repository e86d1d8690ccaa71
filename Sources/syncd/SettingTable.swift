import SyncCoordinator
import SyncCore
import SyncStore
import SyncTransport
import SyncWorker

/// The catalog as people read it: the standards, or what is in effect and who says so.
extension SettingCatalog {
    /// One line of the table.
    struct Line: Encodable {
        let process: String
        let key: String
        let variable: String
        let unit: String
        /// What it is when nobody says anything; of those in effect, what it is.
        var standard: Int?
        var least: Int?
        var most: Int?
        /// Of a setting that is a word.
        var standardWord: String?
        var words: [String]?
        let meaning: String
    }

    /// A setting in effect: a limit, or one of the others that somebody gives.
    struct LineInEffect: Encodable {
        var process: String?
        let key: String
        let value: String
        let unit: String
        /// `--set`, a variable or a file; "default" when nobody gives it.
        let origin: String
    }

    /// Most bytes of a content for a client whose coordinator does not tell.
    static func clientContentBytesMax(_ settings: Settings) throws -> Int {
        var configuration = CoordinatorConfiguration()
        for limit in coordinator where limit.key == "content-mib" {
            try limit.apply(settings, to: &configuration)
        }
        return configuration.limits.contentBytesMax
    }

    /// The table that `syncd settings` prints.
    ///
    /// - Parameter settings: What is given; nil: nothing.
    static func lines(by settings: Settings? = nil) throws -> [Line] {
        func line<Root>(_ process: String, _ limit: Limit<Root>, _ root: Root) -> Line {
            Line(
                process: process, key: limit.key, variable: Settings.variable(limit.key),
                unit: limit.unit.rawValue, standard: limit.standard(of: root),
                least: limit.range.lowerBound, most: limit.range.upperBound,
                meaning: limit.meaning)
        }
        func line(_ choice: Choice<DriftPolicy>) throws -> Line {
            Line(
                process: "worker", key: choice.key, variable: Settings.variable(choice.key),
                unit: "",
                standardWord: try settings.map { try choice.value($0).rawValue }
                    ?? choice.standard.rawValue,
                words: DriftPolicy.allCases.map(\.rawValue), meaning: choice.meaning)
        }
        guard let label = Name("worker") else { throw Trouble("'worker' is no label.") }
        let nobody = WorkerSettings(
            label: label, life: 0, bootID: "", localRootID: nil, schemes: [])
        var pool = CoordinatorConfiguration()
        var files = SQLiteOptions()
        var member = WorkerConfiguration(settings: nobody)
        var sizes = PortSizes()
        if let settings {
            try tune(&pool, by: settings)
            for limit in journal { try limit.apply(settings, to: &files) }
            for limit in worker { try limit.apply(settings, to: &member) }
            for limit in ports { try limit.apply(settings, to: &sizes) }
        }
        let numbers =
            coordinator.map { line("coordinator", $0, pool) }
            + journal.map { line("coordinator", $0, files) }
            + worker.map { line("worker", $0, member) } + ports.map { line("worker", $0, sizes) }
        return try numbers + [drift, e2bDrift].map(line)
    }

    /// Every limit as it is in effect, and the other settings that somebody gives.
    static func linesInEffect(_ settings: Settings) throws -> [LineInEffect] {
        let limits = try lines(by: settings).map { line in
            LineInEffect(
                process: line.process, key: line.key,
                value: line.standardWord ?? line.standard.map(String.init) ?? "",
                unit: line.unit, origin: settings.origin(of: line.key) ?? "default")
        }
        let given = others.sorted().compactMap { key -> LineInEffect? in
            guard let text = settings.text(key, nil), let origin = settings.origin(of: key) else {
                return nil
            }
            // A store's URL may hold a password, and so may any other address.
            let isSecret = (key == "store" && !text.hasPrefix("sqlite:")) || text.contains("@")
            return LineInEffect(
                key: key, value: isSecret ? "(not shown)" : text, unit: "", origin: origin)
        }
        return limits + given
    }
}
