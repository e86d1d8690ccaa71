/// An edit on its way: first it is accepted, then it has one end.
public struct SyncEdit: Sendable {
    /// The file, in NFC.
    public let path: String
    /// The edit's name over all time, for ``SyncClient/outcome(of:timeout:)``.
    public let id: EditReference

    let acceptance: Promise<UInt64>
    let ending: Promise<EditOutcome>

    /// Waits until the edit is durable at the coordinator; from then on no crash loses it.
    ///
    /// - Returns: Its sequence: its place among all accepted edits.
    /// - Throws: ``SyncError/Code/superseded`` or ``SyncError/Code/overtaken`` when a newer edit of
    ///   the file by this client took its place; ``SyncError/Code/unknown`` when no answer came for
    ///   two minutes; else why it was refused.
    @discardableResult
    public func accepted() async throws(SyncError) -> UInt64 { try await acceptance.value() }

    /// Waits for the end of the edit.
    ///
    /// - Throws: Why it was never accepted, unless a newer edit took its place: that is an end too.
    @discardableResult
    public func ended() async throws(SyncError) -> EditOutcome { try await ending.value() }

    /// The end, if it has come.
    public var outcome: EditOutcome? { try? ending.result?.get() }
}
