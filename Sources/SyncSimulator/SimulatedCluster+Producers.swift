import SyncCore

extension SimulatedCluster {
    /// Wait for an answer before an edit is sent again.
    private static let resendWait: Nanoseconds = 3 * .second
    /// Messages of a flood.
    private static let floodMessages = 50

    func startProducer(_ index: Int) {
        lives += 1
        let project = scenario.project(index % scenario.projectCount)
        let process = ProducerProcess(
            index: index, id: ProducerID(name: Scenario.name("pr\(index + 1)"), life: lives),
            project: project)
        producers.removeAll { $0.index == index }
        producers.append(process)
        join(process.link)
        plan(after: chance.millis(0, 200)) { $0.think(process) }
        plan(after: chance.millis(500, 1_000)) { $0.resend(process) }
        if scenario.hasFlood, index == 0 {
            plan(after: producerChance.millis(1_000, 4_000)) { $0.flood(process) }
        }
    }

    /// A producer's process dies: what was not answered is unknown for ever.
    func endProducer(_ process: ProducerProcess) {
        process.isAlive = false
        for number in process.pending.keys.sorted() {
            books.close(EditID(producer: process.id, number: number), .unknown)
        }
        process.pending = [:]
        process.link.isAlive = false
        breakLink(process.link)
    }

    private func think(_ process: ProducerProcess) {
        guard process.isAlive, isStormy else { return }
        let mean = Int(scenario.thinkTime / 1_000)
        let pause =
            scenario.hasLongPauses && producerChance.happens(perMille: 10)
            ? producerChance.millis(20_000, 30_000) : producerChance.micros(mean / 4, mean * 7 / 4)
        plan(after: pause) { $0.think(process) }
        if producerChance.happens(perMille: 60) { ask(process) }
        pushNew(process)
    }

    /// A flood: many messages at once.
    private func flood(_ process: ProducerProcess) {
        guard process.isAlive, isStormy else { return }
        plan(after: producerChance.millis(3_000, 8_000)) { $0.flood(process) }
        for _ in 0..<Self.floodMessages { pushNew(process) }
    }

    /// Makes edits and pushes them in one message.
    private func pushNew(_ process: ProducerProcess) {
        var numbers: [UInt64] = []
        let room = room(process)
        // Nothing above the window of what is not answered yet.
        if room < UInt64(scenario.editsPerMessageMax) { return }
        if scenario.leavesNumbersOut, producerChance.happens(perMille: 50) {
            let most = room - UInt64(scenario.editsPerMessageMax)
            process.lastNumber += UInt64(producerChance.between(0, Int(most)))
        }
        for _ in 0..<producerChance.between(1, scenario.editsPerMessageMax) {
            process.lastNumber += 1
            let number = process.lastNumber
            let edit = makeEdit(process, number)
            books.open(
                EditID(producer: process.id, number: number), project: process.project,
                edit: edit)
            process.pending[number] = ProducerProcess.Pending(
                edit: edit, since: agenda.now, dueAt: agenda.now + Self.resendWait)
            numbers.append(number)
        }
        push(numbers, process)
    }

    /// By how much a producer may count up: it keeps within a window of the lowest unanswered one.
    private func room(_ process: ProducerProcess) -> UInt64 {
        let lowest = process.pending.keys.min() ?? process.lastNumber + 1
        return lowest + ProducerWindow.length - 1 - process.lastNumber
    }

    private func makeEdit(_ process: ProducerProcess, _ number: UInt64) -> Edit {
        let path = Scenario.path(producerChance.pick(scenario.paths) ?? "a")
        var change = FileChange.delete
        if producerChance.happens(perMille: 700) {
            let text = "\(process.id)#\(number) "
            let filler = producerChance.between(0, scenario.contentMax)
            let bytes = Array(text.utf8) + Array(repeating: UInt8(ascii: "."), count: filler)
            change = .put(Content(bytes), isExecutable: producerChance.happens(perMille: 100))
        }
        var edit = Edit(path: path, change: change)
        if scenario.hasRemoteTarget, producerChance.happens(perMille: 50) {
            edit.targets = [
                TargetURL(defaultOf: process.project),
                Scenario.target("e2b:\(process.project)-far"),
            ]
        }
        if producerChance.happens(perMille: 30) {
            let file = FileKey(project: process.project, path: path)
            edit.expectedVersion = store.newest[file]?.version ?? Version.none
        }
        edit.wantsEnd = producerChance.happens(perMille: 100)
        return edit
    }

    private func push(_ numbers: [UInt64], _ process: ProducerProcess) {
        let items = numbers.compactMap { number in
            process.pending[number].map { EditItem(number: number, edit: .success($0.edit)) }
        }
        if items.isEmpty { return }
        requests += 1
        editRequests[requests] = (process, numbers)
        send(
            Asked(
                request: requests,
                body: .edits(project: process.project, producer: process.id, items)),
            over: process.link)
    }

    private func resend(_ process: ProducerProcess) {
        guard process.isAlive else { return }
        plan(after: 400 * .millisecond) { $0.resend(process) }
        for (number, pending) in process.pending.sorted(by: { $0.key < $1.key })
        where agenda.now >= pending.since + scenario.patience && (isStormy || pending.wasBusy) {
            process.pending[number] = nil
            books.close(EditID(producer: process.id, number: number), .unknown)
        }
        let due = process.pending.filter { $0.value.dueAt <= agenda.now }.keys.sorted()
        for number in due { process.pending[number]?.dueAt = agenda.now + Self.resendWait }
        push(Array(due.prefix(40)), process)
    }

    // MARK: Questions

    private func ask(_ process: ProducerProcess) {
        let body: Question.Body
        switch producerChance.between(0, 3) {
        case 0, 1:
            let prefixes = ["", scenario.paths.first ?? "", "g", "d"]
            body = .flush(prefix: producerChance.pick(prefixes) ?? "")
        case 2:
            guard let number = producerChance.pick(process.accepted.suffix(20)) else { return }
            body = .wait(EditID(producer: process.id, number: number))
        default: body = .queue
        }
        ask(body, of: process.project, over: process.link)
    }

    /// Asks a question and remembers it until it is answered.
    func ask(_ body: Question.Body, of project: ProjectName, over link: ClientLinkEnd) {
        requests += 1
        questions[requests] = Question(
            body: body, project: project, link: link, connection: link.connection?.number,
            askedAt: agenda.now)
        let request: ClientRequest
        switch body {
        case .flush(let prefix): request = .flush(project: project, prefix: prefix)
        case .wait(let id): request = .wait(project: project, id)
        case .replay(let from): request = .replay(from: from, project: project, countMax: 7)
        case .snapshot:
            request = .snapshot(project: project, prefix: "", after: nil, countMax: 1_000)
        case .queue: request = .queue(project: project, prefix: "", after: "", countMax: 100)
        case .project(let action): request = .project(project, action)
        case .order(let order): request = .order(order)
        case .died(let life, let isKilled): request = .died(life: life, isKilled: isKilled)
        }
        send(Asked(request: requests, body: request), over: link)
    }

    // MARK: Answers

    /// A client hears an answer.
    func take(_ answered: Answered) {
        if case .edits(let answers) = answered.body,
            let (process, _) = editRequests[answered.request]
        {
            for answer in answers { take(answer, process) }
            return
        }
        if let monitor = monitors.first(where: { $0.request == answered.request }) {
            take(answered.body, monitor)
        }
    }

    private func take(_ answer: EditAnswer, _ process: ProducerProcess) {
        let id = EditID(producer: process.id, number: answer.number)
        switch answer.result {
        case .success(let acceptance):
            if ledger.lost[acceptance.sequence]?.id == id {
                process.pending[answer.number] = nil
                books.close(id, .unknown)
                return
            }
            if case .accepted(let before) = books.lines[id]?.state, before != acceptance.sequence,
                ledger.current(before) != ledger.current(acceptance.sequence)
            {
                violate(.oneVersion, "\(id) was answered \(before), then \(acceptance.sequence)")
            }
            if process.pending.removeValue(forKey: answer.number) != nil {
                process.accepted.append(answer.number)
            }
            books.close(id, .accepted(acceptance.sequence))
        case .failure(let rejection) where rejection.code == .busy:
            process.pending[answer.number]?.wasBusy = true
            process.pending[answer.number]?.dueAt =
                agenda.now + (rejection.retryAfter?.wholeNanoseconds ?? .second)
        case .failure(let rejection):
            guard process.pending.removeValue(forKey: answer.number) != nil else { return }
            books.close(id, .refused(rejection.code))
        }
    }
}
