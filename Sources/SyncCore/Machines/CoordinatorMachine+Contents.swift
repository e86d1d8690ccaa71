extension CoordinatorMachine {
    // Contents past the memory budget are read back from the journal when a file has credit. What
    // is read, or waits to be sent, counts against a budget of its own until it has left the
    // memory.

    /// Whether a file's content is in memory, or may be read back now.
    ///
    /// A project takes at most half of what the others leave; one content always fits.
    func hasRoomToLoad(_ index: FileIndex, project: ProjectName) -> Bool {
        guard let row = files[index].row, needsLoading(index) else { return true }
        let own = projectLoading[project] ?? 0
        if loadingBytes == 0 { return true }
        guard loadingBytes + row.weight <= settings.loadingBytesMax else { return false }
        let others = loadingBytes - own
        return own == 0 || own + row.weight <= (settings.loadingBytesMax - others) / 2
    }

    /// Whether a file's content must be read back before it can go.
    func needsLoading(_ index: FileIndex) -> Bool {
        let slot = files[index]
        guard let row = slot.row, row.failure == nil, !row.isDelete else { return false }
        return slot.content == nil
    }

    /// Starts to read a content back.
    mutating func load(_ index: FileIndex, _ row: JournaledEdit) {
        files[index].phase = .loading
        files[index].isReadBack = true
        loadingBytes += row.weight
        projectLoading[files[index].key.project, default: 0] += row.weight
        loads[row.sequence] = index
        directives.append(.load([row.sequence]))
    }

    /// Takes contents that were read back; nil when the journal could not be read.
    package mutating func loaded(
        _ asked: [EditSequence], _ contents: [EditSequence: Content]?, at now: Instant
    ) {
        for sequence in asked {
            guard let index = loads.removeValue(forKey: sequence) else { continue }
            let slot = files[index]
            // Replaced meanwhile, or about to be: it is queued by what replaces it.
            guard slot.row?.sequence == sequence, slot.phase == .loading, !slot.isStaged else {
                continue
            }
            if let content = contents?[sequence] {
                files[index].content = content
                memoryBytes += content.weight
                // So that it is not taken for a read that was given up.
                files[index].phase = .ready
            } else {
                files[index].trouble.change {
                    $0.dueAt = now + settings.retry.blamelessWait
                }
            }
            requeue(index, at: now)
        }
    }

    /// Gives the memory of a content back that was read back and is not sent now.
    mutating func dropReadBack(_ index: FileIndex) {
        guard files[index].isReadBack else { return }
        forgetReadBack(index)
        memoryBytes -= files[index].content?.weight ?? 0
        files[index].content = nil
    }

    /// A content that was read back has left the memory, or will.
    mutating func forgetReadBack(_ index: FileIndex) {
        guard files[index].isReadBack, let bytes = files[index].row?.weight else { return }
        files[index].isReadBack = false
        loadingBytes -= bytes
        unloadCount &+= 1
        let project = files[index].key.project
        let left = (projectLoading[project] ?? 0) - bytes
        projectLoading[project] = left > 0 ? left : nil
    }

    /// Gives the memory of a content back that the journal has as well.
    mutating func spill(_ index: FileIndex) {
        forgetReadBack(index)
        guard memoryBytes > settings.memoryBytesMax, let content = files[index].content else {
            return
        }
        memoryBytes -= content.weight
        files[index].content = nil
    }
}
