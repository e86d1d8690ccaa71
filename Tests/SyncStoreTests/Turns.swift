import SyncCore
import SyncTestKit

/// Turns of plain rows for the journal's tests.
enum Turns {
    static func row(
        _ sequence: UInt64, file: Int, byteCount: Int, isDelete: Bool = false
    ) -> JournalRow {
        JournalRow(
            file: .named("src/file-\(file).txt"),
            edit: JournaledEdit(
                sequence: EditSequence(sequence),
                id: EditID(producer: SequencedEdit.producer, number: sequence), digest: sequence,
                expectedVersion: nil, acceptedAt: Timestamp(milliseconds: sequence),
                isDelete: isDelete, isExecutable: false, byteCount: byteCount, open: nil,
                failure: nil))
    }

    /// A turn that writes one row for each sequence, all with the same content.
    static func writing(
        _ number: UInt64, _ sequences: some Sequence<UInt64>, content: Content,
        removing: some Sequence<UInt64> = [], header: JournalHeader
    ) -> JournalTransaction {
        var turn = JournalTransaction(turn: number, header: header)
        for (file, sequence) in sequences.enumerated() {
            turn.rowsWritten.append((row(sequence, file: file, byteCount: content.count), content))
            turn.header.lastSequence = max(turn.header.lastSequence, EditSequence(sequence))
        }
        turn.rowsRemoved = removing.map(EditSequence.init)
        return turn
    }
}
