internal import SyncCore

/// What a field of text stands for; every codec reads it here.
enum Field {
    // Nil where none was given.
    static func project(_ text: String?) throws(Rejection) -> ProjectName? {
        guard let text else { return nil }
        guard let name = Name(text) else {
            throw Rejection(.badRequest, "The project's name is not valid.")
        }
        return name
    }

    /// A folder or a file, normalised like the paths that it is compared with; empty covers all.
    static func prefix(_ text: String) throws(Rejection) -> String {
        if text.isEmpty { return "" }
        return try path(text.utf8.last == UInt8(ascii: "/") ? String(text.dropLast()) : text).text
    }

    static func after(_ text: String?) throws(Rejection) -> EditPath? {
        guard let text, !text.isEmpty else { return nil }
        return try path(text)
    }

    static func path(_ text: String) throws(Rejection) -> EditPath {
        do throws(EditPath.Flaw) {
            return try EditPath(text)
        } catch {
            throw Rejection(.invalidPath, error.sentence)
        }
    }

    static func targets(_ texts: [String]) throws(Rejection) -> [TargetURL] {
        var targets: [TargetURL] = []
        for text in texts {
            guard let target = TargetURL(text) else {
                throw Rejection(
                    .badRequest,
                    "A target must be SCHEME:NAME with a scheme of "
                        + "\(TargetURL.schemes.joined(separator: ", ")).")
            }
            targets.append(target)
        }
        guard targets.count <= 16 else {
            throw Rejection(.badRequest, "An edit names at most 16 targets.")
        }
        return targets
    }

    static func version(_ value: UInt64?) throws(Rejection) -> Version? {
        guard let value else { return nil }
        guard value <= countMax else {
            throw Rejection(.badRequest, "The expected version is over \(countMax).")
        }
        return Version(value)
    }
}
