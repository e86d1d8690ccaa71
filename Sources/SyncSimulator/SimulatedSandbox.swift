import SyncCore

/// A sandbox: files, marker, stage directories; fenced by stage as the contract says.
///
/// Each method is one step that the kernel (or envd) takes at once; a writer takes several, and may
/// be stopped between any two of them.
struct SimulatedSandbox {
    /// What stands on a path, or that a delete took it away.
    struct File {
        var change: FileChange
        /// The edit whose content it is.
        var sequence: EditSequence
    }

    let url: TargetURL
    private(set) var files: [EditPath: File] = [:]
    private(set) var marker: SandboxMarker?
    /// True: standing; false: revoked.
    private(set) var stages: [StageName: Bool] = [:]
    /// Generation that it had when it was wiped, rolled back or lost files; nil when it is whole.
    private(set) var lostGeneration: UInt64?
    /// Whose filling that was: fillings of another journal count anew.
    private var lostJournal: JournalID?
    /// How often that happened.
    private(set) var losses = 0
    private var image: (files: [EditPath: File], marker: SandboxMarker?, stages: [StageName: Bool])?

    /// Every call fails before this.
    var awayUntil: Nanoseconds = 0
    /// Calls take long before this.
    var slowUntil: Nanoseconds = 0
    /// Some calls do not come back for many seconds before this.
    var hangsUntil: Nanoseconds = 0
    /// How often, in a thousand, a write fails with `EIO`, before ``flakyUntil``.
    var flakyPerMille = 0
    var flakyUntil: Nanoseconds = 0
    /// Writes take effect and answer that they did not, before this.
    var forgetfulUntil: Nanoseconds = 0
    /// Puts find no room before this, while everything else works.
    var fullUntil: Nanoseconds = 0
    /// Writes of these paths are refused for good, before a moment.
    var refused: [EditPath: Nanoseconds] = [:]

    /// What programs in the sandbox have done to files.
    private(set) var drifts: [EditPath: Drift] = [:]
    /// What programs have done stays before this, and edits of these files fail.
    var keepsDriftUntil: Nanoseconds = 0

    init(url: TargetURL) { self.url = url }

    /// Whether a call that comes now finds nobody.
    func absence(at now: Nanoseconds) -> SandboxError? {
        guard now < awayUntil else { return nil }
        return SandboxError(.target, code: "ECONNREFUSED", "The sandbox does not answer.")
    }

    /// A filling is marked.
    ///
    /// - Parameter isFirst: Whether the journal knows this filling and does not know it as marked:
    ///   then nothing counts yet as written in it, and all is written after this. After an adoption
    ///   it may be one with a lower number.
    /// - Returns: The marker that stands there.
    mutating func mark(_ marker: SandboxMarker, isFirst: Bool) -> SandboxMarker {
        if let old = self.marker {
            if old.standsFor(marker, isSynced: url.isSynced) { return old }
            image = (files, old, stages)
        }
        self.marker = marker
        if let lost = lostGeneration,
            marker.journal != lostJournal || marker.generation > lost || isFirst
        {
            lostGeneration = nil
        }
        return marker
    }

    mutating func revoke(_ stage: StageName) { stages[stage] = false }

    mutating func revokeOthers(keeping stage: StageName) {
        for other in stages.keys where other != stage { stages[other] = false }
    }

    /// Makes a stage directory; false when it is revoked.
    mutating func enter(_ stage: StageName) -> Bool {
        if stages[stage] == nil { stages[stage] = true }
        return stages[stage] == true
    }

    func stands(_ stage: StageName) -> Bool { stages[stage] == true }

    static let revoked = SandboxError(
        .worker, code: SandboxError.revokedCode, "This stage is revoked.")

    /// The rename: the file becomes what the edit says.
    mutating func rename(
        _ edit: SandboxEdit, through stage: StageName
    ) -> Result<Drift?, SandboxError> {
        guard stands(stage) else { return .failure(Self.revoked) }
        let drift = edit.looksForDrift ? drifts[edit.path] : nil
        switch edit.change {
        case .delete: break
        case .put:
            let isBlocked = files.contains { path, file in
                !file.change.isDelete && path != edit.path && path.isRelated(to: edit.path)
            }
            if isBlocked {
                return .failure(
                    SandboxError(.shape, code: "ENOTDIR", "Another shape is in the way."))
            }
        }
        files[edit.path] = File(change: edit.change, sequence: edit.sequence)
        drifts[edit.path] = nil
        return .success(drift)
    }

    /// A program in the sandbox changes a file, or makes one.
    mutating func change(_ path: EditPath) {
        drifts[path] = content(path) == nil ? .foreign : .changed
    }

    /// What a reader sees on a path.
    func content(_ path: EditPath) -> FileChange? {
        guard let file = files[path], !file.change.isDelete else { return nil }
        return file.change
    }

    // MARK: Losses

    /// It comes back empty.
    mutating func wipe() {
        let lost = marker
        files = [:]
        drifts = [:]
        marker = nil
        stages = [:]
        lose(lost)
    }

    /// It comes back as it was under an earlier generation; empty when there was none.
    mutating func rollBack(generation: UInt64) {
        guard let image, image.marker.map({ $0.generation < generation }) ?? false else {
            wipe()
            return
        }
        let lost = marker
        (files, marker, stages) = image
        lose(lost)
    }

    /// The machine lost power: some files are empty, because nothing was fsynced.
    mutating func losePower(_ chance: inout Chance) {
        for path in files.keys.sorted() where chance.happens(perMille: 300) {
            files[path] = nil
        }
        lose(marker)
    }

    /// Notes which filling is not whole any more; one that was not marked had nothing to lose.
    private mutating func lose(_ lost: SandboxMarker?) {
        losses += 1
        guard let lost else { return }
        // Rolled back twice, it has lost what the journal's filling held, not the older one only.
        let before = lost.journal == lostJournal ? lostGeneration : nil
        lostGeneration = max(before ?? 0, lost.generation)
        lostJournal = lost.journal
    }
}

extension TargetURL {
    /// Whether what is written there outlives another boot: local sandboxes are not fsynced here.
    var isSynced: Bool { scheme != "local" }
}
