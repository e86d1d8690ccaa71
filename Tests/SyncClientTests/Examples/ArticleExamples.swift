import SyncClient

// The blocks of the article, compiled; `DocumentationTests` checks that they are the same.

func push(settings: SyncClient.Settings) async throws {
    // example: push
    try await SyncClient.with(settings, project: "demo", name: "editor") { client in
        let edit = try await client.editFile("src/index.html", text: "<h1>hello</h1>")
        let sequence = try await edit.accepted()  // durable: no crash loses it now
        let outcome = try await edit.ended()  // in the store, and in every sandbox
        print("edit \(sequence): \(outcome)")
    }
    // end
}

func newest(client: SyncClient) async throws {
    // example: newest
    let first = try await client.editFile("notes.txt", text: "d")
    let last = try await client.editFile("notes.txt", text: "done")
    switch try await first.ended() {
    case .superseded(let newer): print("replaced by edit \(newer ?? 0)")
    case .synced(let version): print("was quick enough to become version \(version)")
    case .failed(let failure): print("could not be written: \(failure)")
    case .discarded: print("taken off the failed list by an operator")
    }
    try await last.ended()
    // end
}

func states(client: SyncClient) async {
    // example: states
    for await state in await client.fileStates(prefix: "src") {
        if let error = state.lastError {
            print("\(state.path): \(error.sentence)")
        } else if state.isSyncing {
            print("\(state.path) …")
        } else {
            print("\(state.path) is up to date")
        }
    }
    // end
}

func flush(client: SyncClient) async throws {
    // example: flush
    switch try await client.flush(prefix: "src", timeout: .seconds(30)) {
    case .visible: print("every sandbox has everything")
    case .blocked(let files, let count):
        print("\(count) files can't be written now")
        for file in files { print("  \(file.path) is \(file.state): \(file.cause)") }
    }
    let queue = try await client.queueStatus()
    print("\(queue.waiting) wait, \(queue.inHand) are being written, \(queue.failed) failed")
    // end
}

func events(client: SyncClient, lastHandled: UInt64) async throws {
    // example: events
    for try await item in await client.events(from: lastHandled + 1) {
        switch item {
        case .event(let event): print(event.number, event.kind, event.path ?? "")
        case .gap(let numbers): print("lost: \(numbers); begin with what the store has")
        case .rewound: print("another journal: begin with what the store has")
        case .connected, .disconnected: continue
        }
    }
    // end
}

func errors(client: SyncClient) async {
    // example: errors
    do {
        try await client.editFile("../outside", text: "no").accepted()
    } catch {
        print(error.code.rawValue, error.sentence)
    }
    // end
}
