import ArgumentParser

/// The command: see `syncd help`.
@main
struct Syncd: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "syncd",
        abstract: "Keeps the files in running sandboxes equal to what people and agents edit.",
        discussion: """
            Producers push edits; a coordinator makes each one durable, keeps only the newest of \
            each file and hands it to the one worker that owns the file; the worker bumps the \
            file's version in a store and writes it into the sandbox.

            EXAMPLES
              syncd up --data /var/lib/syncd            coordinator and workers on this machine
              syncd push --project demo --root src --wait   push a tree, wait until it is visible
              syncd status --project demo               follow what happens

            Every flag can be set by the environment (SYNCD_INTAKE for --intake) or by a JSON file \
            named by --config or SYNCD_CONFIG.

            EXIT CODES
              0 done · 1 failed · 2 some edits were refused · 3 not everything is visible (flush) \
            · 64 wrong usage · 69 no coordinator, disk or store answers: try again · 75 replaced \
            by a newer worker · 78 wrong configuration · 130 interrupted
            """,
        version: "0.1.0",
        subcommands: [
            UpCommand.self, CoordinatorCommand.self, WorkerCommand.self, PushCommand.self,
            FlushCommand.self, StatusCommand.self, QueueCommand.self, FailedCommand.self,
            ProjectCommand.self, HydrateCommand.self, GetCommand.self, HistoryCommand.self,
            ListCommand.self, SettingsCommand.self,
        ])
}
