import ArgumentParser
import Foundation

/// Flags of the processes that have limits.
struct LimitOptions: ParsableArguments {
    @Option(
        name: .customLong("set"),
        help: "A limit or time as KEY=VALUE; may be repeated; see 'syncd settings'.")
    var pairs: [String] = []

    /// The same flags for a child.
    var arguments: [String] { pairs.flatMap { ["--set", $0] } }
}

/// `syncd settings`: every limit and time, with its default.
struct SettingsCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "settings",
        abstract: "Lists every limit and time, with unit, default and what is allowed.",
        discussion: """
            A value comes from the flag (--set KEY=VALUE), else from the variable, else from the \
            configuration file, else it is the default.

            EXAMPLES
              syncd settings
              syncd up --data demo --set memory-mib=64 --set lease-ms=5000
              SYNCD_MEMORY_MIB=64 syncd up --data demo
              syncd settings --in-effect --config syncd.json   what they are here, and who says so
            """)

    @OptionGroup var common: CommonOptions
    @OptionGroup var limits: LimitOptions

    @Flag(help: "Print values as they are in effect here, and where each is from.")
    var inEffect = false

    @Flag(help: "Print one JSON object a line.")
    var json = false

    func run() async throws {
        try await reporting {
            if inEffect { return try await tellInEffect() }
            for line in try SettingCatalog.lines() {
                if json {
                    try Terminal.say(json: line)
                    continue
                }
                let number = line.standard.map { "\($0) \(line.unit)" } ?? ""
                let range = line.least.flatMap { least in line.most.map { "\(least)…\($0)" } }
                let cells = [
                    (line.process, 13), (line.key, 27), (line.standardWord ?? number, 12),
                    (range ?? "", 17),
                ]
                let start = cells.map { $0.padding(toLength: $1, withPad: " ", startingAt: 0) }
                Terminal.say(start.joined() + line.meaning)
            }
        }
    }

    private func tellInEffect() async throws {
        let settings = try await common.settings().setting(limits.pairs)
        for line in try SettingCatalog.linesInEffect(settings) {
            if json {
                try Terminal.say(json: line)
                continue
            }
            let value = line.unit.isEmpty ? line.value : "\(line.value) \(line.unit)"
            let cells = [(line.process ?? "", 13), (line.key, 27), (value, 25)]
            let start = cells.map { text, width in
                text.count < width
                    ? text.padding(toLength: width, withPad: " ", startingAt: 0) : text + "  "
            }
            Terminal.say(start.joined() + line.origin)
        }
    }
}
