internal import SyncCore
internal import ZeroMQ

/// Tables of targets that were encoded or decoded before; used on one loop only.
///
/// Each message of assignments has one, and nearly all have the same: an edit that comes alone
/// would pay for a JSON at the coordinator and at the worker.
package final class TargetTables {
    /// Tables that are kept at most; beyond, all are forgotten.
    private static let countMax = 256
    /// Bytes of a table that is kept at most.
    private static let bytesMax = 4_096

    private var encoded: [[AssignedTarget]: Frame] = [:]
    private var decoded: [[UInt8]: [AssignedTarget]] = [:]

    /// Nothing is known at first.
    package init() {}

    /// The frame of a table.
    func frame(of targets: [AssignedTarget]) -> Frame {
        if let frame = encoded[targets] { return frame }
        let frame = Body.encode(targets.map { Body.Target($0) })
        if frame.count <= Self.bytesMax {
            if encoded.count == Self.countMax { encoded = [:] }
            encoded[targets] = frame
        }
        return frame
    }

    /// The table of a frame.
    ///
    /// - Throws: What is wrong with it.
    func targets(of frame: Frame) throws(Rejection) -> [AssignedTarget] {
        let bytes = frame.count <= Self.bytesMax ? frame.bytes : []
        if let targets = decoded[bytes] { return targets }
        let bodies = try FrameReader.json([Body.Target].self, in: frame, "targets")
        let targets = bodies.compactMap(\.value)
        // Assignments name targets by their place, so none may be left out.
        guard targets.count == bodies.count else {
            throw Rejection(.badRequest, "A target makes no sense.")
        }
        if !bytes.isEmpty {
            if decoded.count == Self.countMax { decoded = [:] }
            decoded[bytes] = targets
        }
        return targets
    }
}
