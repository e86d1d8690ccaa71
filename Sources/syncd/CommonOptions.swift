import ArgumentParser
import Foundation
import Logging
import SyncCore
import SyncTransport

/// Options of every command.
struct CommonOptions: ParsableArguments {
    @Option(help: "JSON file with settings (object \"syncd\").")
    var config: String?

    /// Environment and file.
    func settings() async throws -> Settings { try await Settings.load(file: config) }
}

/// Options of the processes that log.
struct LogOptions: ParsableArguments {
    @Option(help: "Log lines as 'text' or 'json' (SYNCD_LOG_FORMAT).")
    var logFormat: String?

    @Option(help: "Least level that is logged: debug, info, warning, error (SYNCD_LOG_LEVEL).")
    var logLevel: String?

    /// A logger for a process.
    func logger(_ label: String, _ settings: Settings) throws -> Logger {
        let formatText = settings.text("log-format", logFormat) ?? "text"
        guard let format = LineLogHandler.Format(rawValue: formatText) else {
            throw Trouble("--log-format is text or json, not \(formatText).", code: .configuration)
        }
        let levelText = settings.text("log-level", logLevel) ?? "info"
        guard let level = Logger.Level(rawValue: levelText) else {
            throw Trouble(
                "--log-level is one of trace, debug, info, notice, warning, error, critical, not "
                    + "\(levelText).", code: .configuration)
        }
        return Logger(label: label) { LineLogHandler(label: $0, format: format, level: level) }
    }
}

/// Options of commands that talk to a coordinator.
struct IntakeOptions: ParsableArguments {
    @Option(help: "The coordinator's intake endpoint (SYNCD_INTAKE).")
    var intake: String?

    /// The endpoint; one that can't be is refused.
    func endpoint(_ settings: Settings) throws -> String {
        try settings.endpoint("intake", intake) ?? "tcp://127.0.0.1:7461"
    }
}

/// Options of commands about one project or all of them.
struct ProjectScope: ParsableArguments {
    @Option(help: "Only this project (SYNCD_PROJECT).")
    var project: String?

    @Flag(help: "All projects, whatever SYNCD_PROJECT says.")
    var all = false

    func validate() throws {
        guard !all || project == nil else {
            throw ValidationError("--project names one project and --all means every one.")
        }
    }

    /// The project; nil: all of them.
    func name(_ settings: Settings) throws -> ProjectName? {
        if all { return nil }
        return try settings.text("project", project).map { try projectName($0) }
    }
}

/// Options of commands that read the store.
struct StoreOptions: ParsableArguments {
    @Option(help: "The store: sqlite:FILE, postgres://… or convex:https://… (SYNCD_STORE).")
    var store: String?
}

/// A project's name on the command line.
func projectName(_ text: String) throws -> ProjectName {
    guard let name = Name(text) else {
        throw Trouble(
            "'\(text)' is no project name: use 1 to \(Name.bytesMax) of A-Z a-z 0-9 _ - and '.', "
                + "not beginning with '.'.", code: .usage)
    }
    return name
}

/// A path on the command line.
func editPath(_ text: String) throws -> EditPath {
    do throws(EditPath.Flaw) {
        return try EditPath(text)
    } catch {
        throw Trouble(error.sentence, code: .usage)
    }
}
