/// Why an attempt failed, as it travels and as events show it.
package struct Failure: Sendable, Equatable {
    /// What is to be done about it.
    package let failureClass: FailureClass
    /// Stable word.
    package let code: String
    /// What failed, why, what to do.
    package let message: String
    /// The target's own wish for the next try.
    package let retryAfter: Duration?

    /// Describes a failure.
    package init(
        _ failureClass: FailureClass, code: String, message: String, retryAfter: Duration? = nil
    ) {
        self.failureClass = failureClass
        self.code = code
        self.message = message
        self.retryAfter = retryAfter
    }
}

/// What became of one target in an attempt.
package enum TargetResult: Sendable, Equatable {
    /// The sandbox holds this edit.
    case visible
    /// It does not.
    case failed(Failure)
    /// The attempt has not come back within its deadline: nobody may touch the file there until it
    /// is settled.
    case stuck
}

/// What the store said of an attempt.
package enum StoreResult: Sendable, Equatable {
    /// Stored (or known) under this version.
    case stored(Version)
    /// Fenced: a higher sequence was there.
    case stale(by: EditSequence)
    /// The expected version was not met.
    case conflict(current: Version)
    /// The store can't take this edit.
    case refused(reason: String)
    /// The store was not reached.
    case failed(Failure)
    /// Not tried: the worker gives the file back.
    case returned(Failure)
}

/// An attempt's result, journaled by the coordinator, then acknowledged.
package struct Outcome: Sendable, Equatable {
    /// Which assignment.
    package let assignment: AssignmentID
    /// What the store said.
    package let store: StoreResult
    /// What each target of the assignment said; empty when the store did not take the edit.
    package let targets: [TargetURL: TargetResult]
    /// Targets where the edit is visible in the place of somebody else's change.
    package let drifts: [TargetURL: Drift]

    /// Describes an outcome.
    package init(
        assignment: AssignmentID, store: StoreResult, targets: [TargetURL: TargetResult],
        drifts: [TargetURL: Drift] = [:]
    ) {
        self.assignment = assignment
        self.store = store
        self.targets = targets
        self.drifts = drifts
    }
}

/// What a worker found or did at a target as a whole.
package enum TargetFinding: Sendable, Equatable {
    /// The marker of this generation was written or is there, and which one it is.
    case marked(as: String?)
    /// These incarnations are revoked there.
    case revoked([Incarnation])
    /// Every other stage is revoked there.
    case othersRevoked
    /// A file that was stuck has come back.
    case settled(EditPath)
    /// No marker, although one was written: blank.
    case blank
    /// Another generation's marker: rolled back.
    case rolledBack
    /// The machine was restarted since it was filled, and files are not fsynced.
    case rebooted
    /// It belongs to another project or another journal.
    case taken(by: String)
    /// It answers (a probe's result), and which marker of this generation is there.
    case well(as: String?)
    /// It does not.
    case failed(Failure)
}

/// A finding with its place.
package struct TargetReport: Sendable, Equatable {
    /// Which sandbox.
    package let url: TargetURL
    /// Which filling it is about.
    package let generation: UInt64
    /// What was found or done.
    package let finding: TargetFinding

    /// Describes a report.
    package init(url: TargetURL, generation: UInt64, finding: TargetFinding) {
        self.url = url
        self.generation = generation
        self.finding = finding
    }
}

/// What a worker reports and repeats until it is acknowledged.
package enum Report: Sendable, Equatable {
    case outcome(Outcome)
    case target(TargetReport)
}

/// A report with the number that its acknowledgement names; counted by the worker's process.
package struct NumberedReport: Sendable, Equatable {
    /// From 1.
    package let number: UInt64
    /// What.
    package let report: Report

    /// Pairs a number with a report.
    package init(number: UInt64, report: Report) {
        self.number = number
        self.report = report
    }
}
