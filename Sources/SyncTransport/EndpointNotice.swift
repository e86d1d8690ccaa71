internal import ZeroMQ

/// Something about a socket that an operator should find in the log.
package struct EndpointNotice: Sendable, Equatable {
    /// Whether something is wrong; else it only helps to understand what is.
    package let isWarning: Bool
    /// What happened, at which socket, by whom.
    package let sentence: String
}

/// Collects notices, a bounded number a pass: a storm of strangers must not fill the log.
struct EndpointNotices {
    private static let countMax = 16

    private let socket: String
    private var notices: [EndpointNotice] = []
    private var leftOutCount = 0
    private var droppedCount = 0

    /// - Parameter socket: What the socket is called in the log.
    init(of socket: String) { self.socket = socket }

    mutating func add(_ sentence: String, isWarning: Bool = true) {
        if notices.count < Self.countMax {
            notices.append(
                EndpointNotice(isWarning: isWarning, sentence: "\(socket): \(sentence)"))
        } else {
            leftOutCount += 1
        }
    }

    /// Notes a message that could not be sent; told at the 1st, 2nd, 4th time and so on.
    mutating func addDropped() {
        droppedCount += 1
        guard droppedCount & (droppedCount - 1) == 0 else { return }
        add(
            "\(droppedCount) messages could not be sent so far: their peers are gone or do not "
                + "read; they ask again")
    }

    /// Notes a connection's event, if it is no daily business.
    mutating func add(_ event: SocketEvent) {
        let who = event.peer ?? "an unknown peer"
        switch event.kind {
        case .handshakeFailed(let reason):
            add("\(who) does not speak ZMTP 3 and was refused (\(reason))")
        case .acceptFailed(let reason):
            add(
                "a connection could not be accepted (\(reason)); raise the limit of open files if "
                    + "this goes on")
        case .bindFailed(let reason): add("could not bind (\(reason))")
        case .disconnected:
            // libzmq does not tell why: daily business, but trace B4 needs the name.
            add("the connection of \(who) ended", isWarning: false)
        case .connected, .connectDelayed, .connectRetried, .listening, .accepted,
            .handshakeSucceeded, .closed, .closeFailed, .monitorStopped, .unknown:
            break
        }
    }

    mutating func take() -> [EndpointNotice] {
        if notices.isEmpty { return [] }
        if leftOutCount > 0 {
            notices.append(
                EndpointNotice(
                    isWarning: true,
                    sentence: "\(socket): \(leftOutCount) more notices were left out"))
        }
        defer {
            notices = []
            leftOutCount = 0
        }
        return notices
    }
}
