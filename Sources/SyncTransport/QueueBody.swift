internal import FoundationEssentials
internal import SyncCore

extension Body {
    /// The pool, as `QUEUE` answers it.
    struct Queue: Codable {
        struct Counts: Codable {
            var waiting: Int
            var blocked: Int
            var retrying: Int
            var parked: Int
            var inHand: Int
            var failed: Int
            var refreshing: Int
        }

        struct Project: Codable {
            var name: String
            var counts: Counts
            var eventNumber: UInt64
            var targets: [Target]
            /// What a command has done.
            var sentence: String?
        }

        struct Target: Codable {
            var url: String
            var state: String
            var reason: String?
            var waiting: Int?
            var generation: UInt64?
            var since: UInt64?
            var probeMs: UInt64?
            var inSyncSince: UInt64?
            var refill: Refill?
        }

        struct Refill: Codable {
            var written: Int
            var waiting: Int
            var listed: Bool
        }

        struct Worker: Codable {
            var label: String
            var incarnation: String
            var state: String
            var inHand: Int
        }

        struct Connections: Codable {
            var intake: Int
            var workers: Int
            var status: Int
            var refused: Int
        }

        var epoch: String
        var sequence: UInt64
        var eventNumber: UInt64
        var recovering: Bool
        var counts: Counts
        var pendingBytes: Int
        var memoryBytes: Int
        var projects: [Project]
        var workers: [Worker]
        var files: [File]
        var next: String?
        var connections: Connections?
        var contentBytesMax: Int?
    }
}

extension Body.Queue.Counts {
    init(_ counts: QueueReport.Counts) {
        self.init(
            waiting: counts.waiting, blocked: counts.blocked, retrying: counts.retrying,
            parked: counts.parked, inHand: counts.inHand, failed: counts.failed,
            refreshing: counts.refreshing)
    }

    var value: QueueReport.Counts {
        var counts = QueueReport.Counts()
        counts.waiting = waiting
        counts.blocked = blocked
        counts.retrying = retrying
        counts.parked = parked
        counts.inHand = inHand
        counts.failed = failed
        counts.refreshing = refreshing
        return counts
    }
}

extension Body.Queue {
    init(_ report: QueueReport) {
        self.init(
            epoch: report.epoch.description, sequence: report.sequence.value,
            eventNumber: report.eventNumber, recovering: report.isRecovering,
            counts: Counts(report.counts), pendingBytes: report.pendingBytes,
            memoryBytes: report.memoryBytes,
            projects: report.projects.map { Project($0) },
            workers: report.workers.map {
                Worker(
                    label: $0.label.text, incarnation: $0.incarnation.description,
                    state: $0.state, inHand: $0.inHand)
            },
            files: report.files.map { Body.File($0) }, next: report.next,
            connections: report.connections.map {
                Connections(
                    intake: $0.intake, workers: $0.workers, status: $0.status,
                    refused: $0.refused)
            }, contentBytesMax: report.contentBytesMax)
    }

    var value: QueueReport? {
        guard let epoch = Epoch(epoch) else { return nil }
        var report = QueueReport(
            epoch: epoch, sequence: EditSequence(sequence), eventNumber: eventNumber,
            isRecovering: recovering, counts: counts.value, pendingBytes: pendingBytes,
            memoryBytes: memoryBytes, projects: projects.compactMap(\.value),
            workers: workers.compactMap(\.value), files: files.compactMap(\.value), next: next)
        report.connections = connections.map {
            QueueReport.Connections(
                intake: $0.intake, workers: $0.workers, status: $0.status, refused: $0.refused)
        }
        report.contentBytesMax = contentBytesMax
        return report
    }
}

extension Body.Queue.Project {
    init(_ project: QueueReport.Project, sentence: String? = nil) {
        self.init(
            name: project.name.text, counts: Body.Queue.Counts(project.counts),
            eventNumber: project.eventNumber,
            targets: project.targets.map { Body.Queue.Target($0) }, sentence: sentence)
    }

    var value: QueueReport.Project? {
        guard let name = Name(name) else { return nil }
        return QueueReport.Project(
            name: name, counts: counts.value, eventNumber: eventNumber,
            targets: targets.compactMap(\.value))
    }
}

extension Body.Queue.Target {
    init(_ target: QueueReport.Target) {
        self.init(
            url: target.url.text, state: target.state,
            reason: target.reason.isEmpty ? nil : target.reason, waiting: target.waiting,
            generation: target.generation, since: target.since?.milliseconds,
            probeMs: target.probeMilliseconds, inSyncSince: target.inSyncSince?.milliseconds,
            refill: target.refill.map {
                Body.Queue.Refill(written: $0.written, waiting: $0.waiting, listed: $0.isListed)
            })
    }

    var value: QueueReport.Target? {
        guard let url = TargetURL(url) else { return nil }
        var target = QueueReport.Target(url: url, state: state, reason: reason ?? "")
        target.waiting = waiting ?? 0
        target.generation = generation ?? 0
        target.since = since.map { Timestamp(milliseconds: $0) }
        target.probeMilliseconds = probeMs
        target.inSyncSince = inSyncSince.map { Timestamp(milliseconds: $0) }
        target.refill = refill.map {
            QueueReport.Refill(written: $0.written, waiting: $0.waiting, isListed: $0.listed)
        }
        return target
    }
}

extension Body.Queue.Worker {
    var value: QueueReport.Worker? {
        guard let label = Name(label), let incarnation = Incarnation(incarnation) else {
            return nil
        }
        return QueueReport.Worker(
            label: label, incarnation: incarnation, state: state, inHand: inHand)
    }
}
