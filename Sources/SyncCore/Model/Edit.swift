/// The whole state of one file: put or delete.
///
/// An edit is complete: an absent executable bit means "not executable", not "as before"; else
/// coalescing would lose bits (trace C2).
package enum FileChange: Sendable, Equatable {
    case put(Content, isExecutable: Bool)
    case delete

    /// Bytes of content; 0 for a delete.
    package var byteCount: Int {
        switch self {
        case .put(let content, _): content.count
        case .delete: 0
        }
    }

    /// Whether it is a delete.
    package var isDelete: Bool {
        switch self {
        case .put: false
        case .delete: true
        }
    }

    /// Whether the file is to be executable.
    package var isExecutable: Bool {
        switch self {
        case .put(_, let isExecutable): isExecutable
        case .delete: false
        }
    }
}

/// What a producer pushes: "this file is now this".
package struct Edit: Sendable, Equatable {
    /// Which file.
    package var path: EditPath
    /// What it is now.
    package var change: FileChange
    /// Targets to attach to the project before the edit goes out.
    package var targets: [TargetURL]
    /// Accept only on top of this version.
    package var expectedVersion: Version?
    /// Whether the producer asks to be told the edit's end as well.
    package var wantsEnd: Bool

    /// Describes an edit.
    package init(
        path: EditPath, change: FileChange, targets: [TargetURL] = [],
        expectedVersion: Version? = nil, wantsEnd: Bool = false
    ) {
        self.path = path
        self.change = change
        self.targets = targets
        self.expectedVersion = expectedVersion
        self.wantsEnd = wantsEnd
    }

    /// 64 bits over everything the edit says: the same number with another digest is refused.
    package var digest: UInt64 {
        var text: [UInt8] = []
        text.reserveCapacity(path.text.utf8.count + 64)
        text += path.text.utf8
        text.append(UInt8(ascii: "\n"))
        switch change {
        case .put(let content, let isExecutable):
            text.append(isExecutable ? UInt8(ascii: "x") : UInt8(ascii: "p"))
            text += Hexadecimal.digits(of: content.digest).utf8
        case .delete: text.append(UInt8(ascii: "d"))
        }
        text.append(UInt8(ascii: "\n"))
        if !targets.isEmpty { text += targets.map(\.text).joined(separator: " ").utf8 }
        if let expectedVersion { text += "\n\(expectedVersion)".utf8 }
        return text.withUnsafeBytes { StableHash.hash($0) }
    }
}

/// A sandbox as a URL: `SCHEME:NAME`, for instance `local:demo` or `e2b:abc123`.
package struct TargetURL: Hashable, Sendable, Comparable, CustomStringConvertible {
    /// Kind of sandbox: `local`, `e2b`.
    package let scheme: String
    /// Which one.
    package let name: Name

    /// Schemes that this build knows.
    package static let schemes = ["local", "e2b"]

    /// Reads `SCHEME:NAME` with a known scheme.
    package init?(_ text: some StringProtocol) {
        guard let colon = text.firstIndex(of: ":"),
            let name = Name(String(text[text.index(after: colon)...])),
            Self.schemes.contains(String(text[..<colon]))
        else { return nil }
        scheme = String(text[..<colon])
        self.name = name
    }

    /// The default target of a project: `local:PROJECT`.
    package init(defaultOf project: ProjectName) {
        scheme = "local"
        name = project
    }

    /// `SCHEME:NAME`.
    package var text: String { "\(scheme):\(name)" }

    /// As text, for people and logs.
    package var description: String { text }

    /// The order that queues and pages follow.
    package static func < (left: TargetURL, right: TargetURL) -> Bool { left.text < right.text }
}
