package import SyncCore
import ZeroMQ

// The grammar of version 1. Every line is one message, every word one frame; `( … )*` repeats.
// A client's message may be led by at most two envelope frames, which are echoed.
//
//   clients to intake
//     syncd/1 EDIT     REQUEST PROJECT PRODUCER (NUMBER PATH OPTIONS CONTENT)*
//     syncd/1 WAIT     REQUEST PROJECT PRODUCER NUMBER
//     syncd/1 QUEUE    REQUEST JSON
//     syncd/1 FLUSH    REQUEST PROJECT PREFIX
//     syncd/1 REPLAY   REQUEST FROM JSON
//     syncd/1 SNAPSHOT REQUEST PROJECT JSON
//     syncd/1 FAILED   REQUEST JSON
//     syncd/1 RETRY    REQUEST PROJECT BY (PATH SEQUENCE)*
//     syncd/1 DISCARD  REQUEST PROJECT BY (PATH SEQUENCE)*
//     syncd/1 PROJECT  REQUEST PROJECT JSON
//     syncd/1 DIED     REQUEST LIFE ["died"|"killed"]
//   intake to clients
//     syncd/1 ANSWER   REQUEST (NUMBER "ACCEPTED" SEQUENCE JSON | NUMBER "REJECTED" CODE JSON)*
//     syncd/1 END      REQUEST PRODUCER NUMBER SEQUENCE JSON
//     syncd/1 QUEUE    REQUEST JSON
//     syncd/1 FLUSHED  REQUEST SEQUENCE
//     syncd/1 BLOCKED  REQUEST COUNT JSON
//     syncd/1 EVENTS   REQUEST NEXT LAST (JSON)*
//     syncd/1 GAP      REQUEST FIRST LAST
//     syncd/1 SNAPSHOT REQUEST NUMBER PROJECT-NUMBER JSON
//     syncd/1 FAILED   REQUEST JSON
//     syncd/1 ORDERED  REQUEST ("done"|"newer"|"gone")*
//     syncd/1 PROJECT  REQUEST JSON
//     syncd/1 DONE     REQUEST
//     syncd/1 REJECTED REQUEST CODE JSON
//   workers to coordinator; STAMP = EPOCH INCARNATION REGISTRATION
//     syncd/1 REGISTER     JSON (REPORT)*
//     syncd/1 HEARTBEAT    STAMP CLOCK
//     syncd/1 REPORTS      STAMP (REPORT)*
//     syncd/1 DRAIN        STAMP
//     syncd/1 LEAVE        STAMP
//     syncd/1 FILES        STAMP NUMBER PROJECT AFTER MAX "more"|"last" (SEQUENCE PATH)*
//     syncd/1 FILES-FAILED STAMP NUMBER PROJECT AFTER MAX JSON
//   coordinator to workers
//     syncd/1 WELCOME        STAMP JSON
//     syncd/1 REFUSED        CODE SENTENCE
//     syncd/1 REPLACED       SENTENCE
//     syncd/1 REGISTER-AGAIN EPOCH
//     syncd/1 GRANT          STAMP LEASE CLOCK
//     syncd/1 ASSIGN         STAMP JSON (ASSIGNMENT CONTENT)*
//     syncd/1 ACK            STAMP (NUMBER)*
//     syncd/1 PROBE          STAMP JSON
//     syncd/1 LIST           STAMP NUMBER PROJECT AFTER MAX
//     syncd/1 LEFT           STAMP
//   coordinator to monitors: TOPIC JSON

/// Names of the protocol's parts.
package enum Wire {
    /// Protocol and version: the first frame after the envelope.
    package static let version = "syncd/1"

    /// Longest request id, and longest envelope frame, in bytes: both are kept and echoed.
    package static let requestBytesMax = 255

    /// Longest JSON body of a request, in bytes.
    package static let queryBytesMax = 65_536

    /// What clients ask.
    package enum Request: String, CaseIterable, Sendable {
        case edit = "EDIT"
        case wait = "WAIT"
        case queue = "QUEUE"
        case flush = "FLUSH"
        case replay = "REPLAY"
        case snapshot = "SNAPSHOT"
        case failed = "FAILED"
        case retry = "RETRY"
        case discard = "DISCARD"
        case project = "PROJECT"
        case died = "DIED"
    }

    /// What clients are answered.
    package enum Reply: String, CaseIterable, Sendable {
        case answer = "ANSWER"
        case end = "END"
        case queue = "QUEUE"
        case flushed = "FLUSHED"
        case blocked = "BLOCKED"
        case events = "EVENTS"
        case gap = "GAP"
        case snapshot = "SNAPSHOT"
        case failed = "FAILED"
        case ordered = "ORDERED"
        case project = "PROJECT"
        case done = "DONE"
        case rejected = "REJECTED"
    }

    /// What workers say.
    package enum FromWorker: String, CaseIterable, Sendable {
        case register = "REGISTER"
        case heartbeat = "HEARTBEAT"
        case reports = "REPORTS"
        case drain = "DRAIN"
        case leave = "LEAVE"
        case files = "FILES"
        case filesFailed = "FILES-FAILED"
    }

    /// What workers are told.
    package enum ToWorker: String, CaseIterable, Sendable {
        case welcome = "WELCOME"
        case refused = "REFUSED"
        case replaced = "REPLACED"
        case registerAgain = "REGISTER-AGAIN"
        case grant = "GRANT"
        case assign = "ASSIGN"
        case acknowledge = "ACK"
        case probe = "PROBE"
        case list = "LIST"
        case left = "LEFT"
    }
}

/// Limits of messages (design §5).
package struct WireLimits: Sendable {
    /// Content of one edit, in bytes.
    package var contentBytesMax = 16 << 20
    /// One message in all, in bytes.
    package var messageBytesMax = 32 << 20
    /// Edits in one message.
    package var editsMax = 1_024
    /// Messages that may wait per connection on the way in: 16 cost 45 % of the messages a second
    /// when tried, 256 gain 25 % and four times the memory.
    package var receivedMax = 64
    /// Bytes that one frame may have beyond the content limit, so that one byte too many still gets
    /// its code instead of a cut connection.
    package static let frameSlack = 64 << 10
    /// Frames of one message: the edits', and room for the head.
    package var framesMax: Int { editsMax * 4 + 16 }

    /// The design's limits.
    package init() {}

    /// What a socket reads of one message.
    var receiveLimit: ReceiveLimit {
        ReceiveLimit(framesMax: framesMax, bytesMax: messageBytesMax)
    }

    /// libzmq's limit of one frame: over it, the connection is cut (trace B4).
    var frameBytesMax: Int { contentBytesMax + Self.frameSlack }
}

/// A client's message, decoded as far as it could be.
package struct DecodedRequest: Sendable {
    /// Where the answer goes.
    package let route: ClientRoute
    /// The request, or why it is none.
    package let request: Result<ClientRequest, Rejection>
}

/// A message part as the storage of a content: shared, never copied.
final class FrameStorage: ByteStorage {
    let frame: Frame
    init(_ frame: Frame) { self.frame = frame }
    var byteCount: Int { frame.count }
    func withBytes(_ body: (UnsafeRawBufferPointer) -> Void) { frame.withUnsafeBytes(body) }
}

extension Content {
    /// Shares a message part.
    init(_ frame: Frame) { self.init(storage: FrameStorage(frame)) }

    /// The content as a message part; shared where it came from one, copied once otherwise.
    var frame: Frame {
        if let shared = storage as? FrameStorage { return shared.frame }
        return Frame(bytes)
    }
}
