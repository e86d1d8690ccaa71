import Foundation
import Testing

/// What Package.swift says, as far as the tests ask.
struct Manifest {
    /// Targets, each with the modules it depends on.
    let targets: [String: [String]]
    /// Upcoming features that it switches on.
    let features: [String]

    /// Reads Package.swift as text: asking the package manager would wait for its lock.
    static func read() throws -> Manifest {
        let file = try #require(SourceTree.file("Package.swift"))
        let text = file.text
        var targets: [String: [String]] = [:]
        for opening in [".target(", ".executableTarget(", ".testTarget(", ".systemLibrary("] {
            var rest = text[...]
            while let found = rest.range(of: opening) {
                let body = enclosed(rest[found.upperBound...], "(", ")")
                rest = rest[found.upperBound...]
                guard let name = quoted(after: "name:", in: body) else { continue }
                targets[name] = dependencies(body)
            }
        }
        let features = file.lines.compactMap { line -> String? in
            guard line.contains(".enableUpcomingFeature(") else { return nil }
            return quoted(after: "enableUpcomingFeature(", in: line[...])
        }
        return Manifest(targets: targets, features: features)
    }

    private static func dependencies(_ body: Substring) -> [String] {
        guard let found = body.range(of: "dependencies: [") else { return [] }
        var list = enclosed(body[found.upperBound...], "[", "]")
        var modules: [String] = []
        while let next = list.range(of: "\"") {
            let before = list[..<next.lowerBound]
            let rest = list[next.upperBound...]
            guard let end = rest.firstIndex(of: "\"") else { break }
            // The second string of a product is its package.
            if !before.hasSuffix("package: ") { modules.append(String(rest[..<end])) }
            list = rest[rest.index(after: end)...]
        }
        return modules
    }

    /// What lies before the bracket that closes one opened just before.
    private static func enclosed(
        _ text: Substring, _ open: Character, _ close: Character
    ) -> Substring {
        var depth = 1
        for index in text.indices {
            if text[index] == open { depth += 1 }
            if text[index] == close { depth -= 1 }
            if depth == 0 { return text[..<index] }
        }
        return text
    }

    private static func quoted(after label: String, in text: Substring) -> String? {
        guard let found = text.range(of: label) else { return nil }
        let parts = text[found.upperBound...].split(
            separator: "\"", maxSplits: 2, omittingEmptySubsequences: false)
        return parts.count > 1 ? String(parts[1]) : nil
    }
}
