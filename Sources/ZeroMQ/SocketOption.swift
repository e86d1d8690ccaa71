internal import CLibZMQ

/// The pattern a socket speaks.
///
/// Trap "XPUB must be read": an `xpub` receives subscriptions, without a limit on their number, and
/// whatever else a peer sends upstream; its owner reads it in every pass, with a `ReceiveLimit`,
/// and drops what is no subscription. Trap "no order between sockets": two sockets are two queues.
package enum SocketKind: Sendable, CaseIterable {
    case pair, pub, sub, req, rep, dealer, router, pull, push, xpub, xsub

    var number: Int32 {
        switch self {
        case .pair: ZMQ_PAIR
        case .pub: ZMQ_PUB
        case .sub: ZMQ_SUB
        case .req: ZMQ_REQ
        case .rep: ZMQ_REP
        case .dealer: ZMQ_DEALER
        case .router: ZMQ_ROUTER
        case .pull: ZMQ_PULL
        case .push: ZMQ_PUSH
        case .xpub: ZMQ_XPUB
        case .xsub: ZMQ_XSUB
        }
    }
}

/// What can be set on a socket, before it is bound or connected.
///
/// Two options are missing on purpose. `ZMQ_ROUTING_ID` and `ZMQ_ROUTER_HANDOVER` (trap "a DEALER
/// with a fixed routing id that reconnects"): with an id and without handover the new connection is
/// ignored in silence, with it anyone takes an id over; who it is stands in the message.
package enum SocketOption: Sendable, Equatable {
    /// How long unsent messages are kept after closing; 0 unless set (`ZMQ_LINGER`).
    ///
    /// Trap "linger −1 and `zmq_ctx_term`": no value means for ever, so an exit always ends.
    case linger(Duration)
    /// Messages queued for one peer before a send is refused; 0: no limit (`ZMQ_SNDHWM`).
    ///
    /// Trap "HWM counts messages per pipe": neither bytes nor frames. At worst a socket holds
    /// connections × this × the largest message. Room is given back in lumps of half the mark, so
    /// only half of it is free at any time for a peer that has read everything (tried).
    case sendHighWaterMark(Int)
    /// Messages queued from one peer before it is no longer read; 0: no limit (`ZMQ_RCVHWM`).
    case receiveHighWaterMark(Int)
    /// Longest frame in bytes that is taken; nil: no limit (`ZMQ_MAXMSGSIZE`).
    ///
    /// Trap "MAXMSGSIZE per frame": over it the connection is cut, and only a `SocketEvent` tells.
    case frameBytesMax(Int?)
    /// A ROUTER says `.unroutable` instead of dropping in silence (`ZMQ_ROUTER_MANDATORY`).
    case routerMandatory(Bool)
    /// An XPUB hands up every subscription, repeated ones too (`ZMQ_XPUB_VERBOSE`).
    ///
    /// Trap "XPUB … `VERBOSE` needed for a second subscriber of a topic".
    case xpubVerbose(Bool)
    /// Messages queue only for connections that exist (`ZMQ_IMMEDIATE`).
    ///
    /// Only for sockets that never receive a message of several frames. When a connection breaks,
    /// libzmq then takes its pipe away at once, and it does so between two frames of a message that
    /// is just being read: the process aborts (`Assertion failed: !_more (fq.cpp)`, tried: see
    /// PeerTests). Unset, sends queue before anybody is there, up to `sendHighWaterMark`: who must
    /// not have stale messages delivered asks the socket's events whether a connection stands.
    case immediate(Bool)
    /// Refuses ZMTP 1 and 2 on a bound socket; no handler is needed (`ZMQ_ZAP_DOMAIN`).
    ///
    /// Trap "ZMTP 1.0/2.0 peers, HTTP as ZMTP" (trace A15): without a domain, the body of an HTTP
    /// POST from any web page is read as frames. Trap "ZAP": were there a handler, it would have
    /// to answer before the bind, on a thread of its own.
    case zapDomain(String)
    // There is no case for `ZMQ_HEARTBEAT_IVL`: libzmq 4.3 ends the process when a probe is due on
    // a connection that broke while its messages waited for the program (`Assertion failed:
    // !_io_error (stream_engine_base.cpp)`, its issues 3937 and 4364; see EndpointTests). The
    // kernel's own probes find a machine that is gone as well.

    /// Whether the kernel probes quiet connections over TCP (`ZMQ_TCP_KEEPALIVE`).
    case tcpKeepalive(Bool)
    /// After how much quiet it probes; whole seconds (`ZMQ_TCP_KEEPALIVE_IDLE`).
    case tcpKeepaliveIdle(Duration)
    /// How long it waits for an answer before the next; whole seconds (`ZMQ_TCP_KEEPALIVE_INTVL`).
    case tcpKeepaliveInterval(Duration)
    /// After how many unanswered ones the connection is over (`ZMQ_TCP_KEEPALIVE_CNT`).
    case tcpKeepaliveCount(Int)
    /// Connections the kernel keeps until they are accepted (`ZMQ_BACKLOG`).
    ///
    /// Trap "backlog 100, reconnect every 100 ms without growth": a fleet that comes back at once
    /// needs more, and `reconnectIntervalMax`.
    case backlog(Int)
    /// First pause before connecting again (`ZMQ_RECONNECT_IVL`).
    case reconnectInterval(Duration)
    /// Longest pause between attempts to connect, doubled up to here; 0: no growth
    /// (`ZMQ_RECONNECT_IVL_MAX`).
    case reconnectIntervalMax(Duration)
    /// How long a new connection may take to greet; 0: for ever (`ZMQ_HANDSHAKE_IVL`).
    case handshakeInterval(Duration)
    /// How long `connect(2)` may take; 0: the system decides (`ZMQ_CONNECT_TIMEOUT`).
    case connectTimeout(Duration)
    /// How long TCP may resend unacknowledged bytes; 0: the system decides (`ZMQ_TCP_MAXRT`).
    case tcpRetransmitMax(Duration)
    /// A REQ may ask again before the answer came (`ZMQ_REQ_RELAXED`).
    ///
    /// Trap "REQ: lockstep": set it together with `requestCorrelate`, or a lost answer ends the
    /// conversation for ever, or an old answer is taken for the new one.
    case requestRelaxed(Bool)
    /// A REQ takes only the answer to its last request (`ZMQ_REQ_CORRELATE`).
    case requestCorrelate(Bool)
    /// Allows IPv6 beside IPv4 (`ZMQ_IPV6`).
    case ipv6(Bool)
    /// A SUB's first subscriptions: prefixes of the first frame (`ZMQ_SUBSCRIBE`).
    case subscription(String)

    /// Sets this option.
    ///
    /// The C function is `zmq_setsockopt`.
    func apply(to socket: UnsafeMutableRawPointer) throws(ZeroMQError) {
        let (number, name, value) = parameters
        switch value {
        case .number(var value):
            try withUnsafeBytes(of: &value) { (bytes) throws(ZeroMQError) in
                try LibraryCalls.set(number, named: name, to: bytes, of: socket)
            }
        case .wide(var value):
            try withUnsafeBytes(of: &value) { (bytes) throws(ZeroMQError) in
                try LibraryCalls.set(number, named: name, to: bytes, of: socket)
            }
        case .text(let text):
            try LibraryCalls.set(number, named: name, to: text, of: socket)
        }
    }

    private enum Value {
        case number(Int32)
        case wide(Int64)
        case text(String)

        static func flag(_ isOn: Bool) -> Self { .number(isOn ? 1 : 0) }

        static func count(_ count: Int) -> Self { .number(Int32(clamping: count)) }

        static func milliseconds(_ time: Duration) -> Self {
            .number(Int32(clamping: time.wholeMilliseconds))
        }

        /// Rounded up.
        static func seconds(_ time: Duration) -> Self {
            .number(Int32(clamping: (time.wholeMilliseconds + 999) / 1_000))
        }
    }

    private var parameters: (Int32, String, Value) {
        switch self {
        case .linger(let time): (ZMQ_LINGER, "ZMQ_LINGER", .milliseconds(time))
        case .sendHighWaterMark(let count): (ZMQ_SNDHWM, "ZMQ_SNDHWM", .count(count))
        case .receiveHighWaterMark(let count): (ZMQ_RCVHWM, "ZMQ_RCVHWM", .count(count))
        case .frameBytesMax(let count):
            (ZMQ_MAXMSGSIZE, "ZMQ_MAXMSGSIZE", .wide(count.map(Int64.init) ?? -1))
        case .routerMandatory(let isOn):
            (ZMQ_ROUTER_MANDATORY, "ZMQ_ROUTER_MANDATORY", .flag(isOn))
        case .xpubVerbose(let isOn): (ZMQ_XPUB_VERBOSE, "ZMQ_XPUB_VERBOSE", .flag(isOn))
        case .immediate(let isOn): (ZMQ_IMMEDIATE, "ZMQ_IMMEDIATE", .flag(isOn))
        case .zapDomain(let name): (ZMQ_ZAP_DOMAIN, "ZMQ_ZAP_DOMAIN", .text(name))
        case .tcpKeepalive(let isOn): (ZMQ_TCP_KEEPALIVE, "ZMQ_TCP_KEEPALIVE", .flag(isOn))
        case .tcpKeepaliveIdle(let time):
            (ZMQ_TCP_KEEPALIVE_IDLE, "ZMQ_TCP_KEEPALIVE_IDLE", .seconds(time))
        case .tcpKeepaliveInterval(let time):
            (ZMQ_TCP_KEEPALIVE_INTVL, "ZMQ_TCP_KEEPALIVE_INTVL", .seconds(time))
        case .tcpKeepaliveCount(let count):
            (ZMQ_TCP_KEEPALIVE_CNT, "ZMQ_TCP_KEEPALIVE_CNT", .count(count))
        case .backlog(let count): (ZMQ_BACKLOG, "ZMQ_BACKLOG", .count(count))
        case .reconnectInterval(let time):
            (ZMQ_RECONNECT_IVL, "ZMQ_RECONNECT_IVL", .milliseconds(time))
        case .reconnectIntervalMax(let time):
            (ZMQ_RECONNECT_IVL_MAX, "ZMQ_RECONNECT_IVL_MAX", .milliseconds(time))
        case .handshakeInterval(let time):
            (ZMQ_HANDSHAKE_IVL, "ZMQ_HANDSHAKE_IVL", .milliseconds(time))
        case .connectTimeout(let time):
            (ZMQ_CONNECT_TIMEOUT, "ZMQ_CONNECT_TIMEOUT", .milliseconds(time))
        case .tcpRetransmitMax(let time): (ZMQ_TCP_MAXRT, "ZMQ_TCP_MAXRT", .milliseconds(time))
        case .requestRelaxed(let isOn): (ZMQ_REQ_RELAXED, "ZMQ_REQ_RELAXED", .flag(isOn))
        case .requestCorrelate(let isOn): (ZMQ_REQ_CORRELATE, "ZMQ_REQ_CORRELATE", .flag(isOn))
        case .ipv6(let isOn): (ZMQ_IPV6, "ZMQ_IPV6", .flag(isOn))
        case .subscription(let prefix): (ZMQ_SUBSCRIBE, "ZMQ_SUBSCRIBE", .text(prefix))
        }
    }
}

extension Duration {
    /// Milliseconds, rounded up so that no wait is shorter than asked; never below 0.
    var wholeMilliseconds: Int {
        let (seconds, attoseconds) = components
        guard seconds >= 0, attoseconds >= 0 else { return 0 }
        let (whole, overflow) = Int(seconds).multipliedReportingOverflow(by: 1_000)
        if overflow { return Int.max }
        let rest = Int((attoseconds + 999_999_999_999_999) / 1_000_000_000_000_000)
        let (sum, sumOverflow) = whole.addingReportingOverflow(rest)
        return sumOverflow ? Int.max : sum
    }
}
