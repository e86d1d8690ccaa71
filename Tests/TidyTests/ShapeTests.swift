import Testing

/// How long lines, functions and files may be, and what must be documented.
struct ShapeTests {
    /// Files that may be longer than 400 lines, each with its reason.
    private static let longFiles: [String: String] = [
        "Sources/SyncCore/Machines/CoordinatorMachine+Members.swift":
            "joining, ending and what both owe share private steps"
    ]

    @Test func `no line of Swift is longer than 100 columns`() {
        for file in SourceTree.files where file.path.hasSuffix(".swift") {
            for (index, line) in file.lines.enumerated() where line.utf8.count > 100 {
                // Lines of a text in three quotes are prose: the formatter leaves them, too.
                let code = file.code[index].drop { $0 == " " }
                if code.isEmpty, !file.isComment(index) { continue }
                #expect(line.count <= 100, "\(file.place(index)) has \(line.count) columns")
            }
        }
    }

    @Test func `no file is longer than 400 lines, a test's 450`() {
        for file in SourceTree.files where file.path.hasSuffix(".swift") {
            let limit = file.path.hasPrefix("Tests/") ? 450 : 400
            if Self.longFiles[file.path] != nil { continue }
            // The last line's end is not a line.
            let count = file.lines.count - 1
            #expect(count <= limit, "\(file.path) has \(count) lines")
        }
    }

    @Test func `no function is longer than 70 lines`() {
        for file in SourceTree.files where file.path.hasSuffix(".swift") {
            for function in file.functions {
                #expect(
                    function.lineCount <= 70,
                    "\(file.place(function.line)) is \(function.lineCount) lines long")
            }
        }
    }

    @Test func `the reader of functions finds them and counts their lines`() {
        let file = SourceFile(
            path: "x.swift",
            text: """
                protocol P {
                    func bare(_ body: () -> Void = {}) async throws -> Int
                    func other()
                }
                struct S {
                    // func no() { }
                    let text = "func no() {"
                    var sum: Int {
                        1
                    }
                    private func long(
                        _ body: () -> Void = { }
                    ) {
                        if true { let x = "}" }
                    }
                    init() {}
                }
                """)
        #expect(file.functions.map(\.line) == [7, 10, 15])
        #expect(file.functions.map(\.lineCount) == [3, 5, 1])
    }

    @Test func `everything that other rooms may use is documented`() {
        for file in SourceTree.swift(below: "Sources/") {
            for index in file.code.indices {
                let words = file.code[index].split(separator: " ").map(String.init)
                    .drop { $0.hasPrefix("@") }
                guard let access = words.first, access == "package" || access == "public",
                    !words.contains("import"), !words.contains("extension")
                else { continue }
                #expect(
                    file.isDocumented(index), "\(file.place(index)) has no doc comment")
            }
        }
    }
}

extension SourceFile {
    /// A function, initialiser, subscript or computed property.
    struct Function {
        /// Of its declaration, from 0.
        let line: Int
        let lineCount: Int
    }

    private static let modifiers: Set<String> = [
        "package", "public", "private", "fileprivate", "internal", "static", "mutating",
        "nonisolated", "borrowing", "consuming", "override", "final", "required", "convenience",
        "isolated", "private(set)", "package(set)", "lazy", "distributed",
    ]

    private static func declares(_ line: String) -> Bool {
        let words = line.split(separator: " ").drop {
            $0.hasPrefix("@") || modifiers.contains(String($0))
        }
        guard let word = words.first else { return false }
        if word == "var" { return line.contains("{") }
        return word == "func" || word == "deinit" || word == "init" || word.hasPrefix("init(")
            || word.hasPrefix("init?(") || word.hasPrefix("init<") || word.hasPrefix("subscript")
    }

    /// Every function that has a body.
    var functions: [Function] {
        code.indices.filter { Self.declares(code[$0]) }.compactMap { start in
            guard let end = bodyEnd(from: start) else { return nil }
            return Function(line: start, lineCount: end - start + 1)
        }
    }

    /// Line of the brace that closes the body of what a line declares; nil when it has none.
    private func bodyEnd(from start: Int) -> Int? {
        var parentheses = 0
        var braces = 0
        for index in start..<code.count {
            if index > start, braces == 0, parentheses == 0 {
                let word = code[index].split(separator: " ").first ?? ""
                if word == "}" || Self.declares(code[index]) { return nil }
            }
            for byte in code[index].utf8 {
                switch byte {
                case UInt8(ascii: "("), UInt8(ascii: "["): parentheses += 1
                case UInt8(ascii: ")"), UInt8(ascii: "]"): parentheses -= 1
                case UInt8(ascii: "{") where braces > 0 || parentheses == 0: braces += 1
                case UInt8(ascii: "}") where braces > 0:
                    braces -= 1
                    if braces == 0 { return index }
                default: break
                }
            }
        }
        return nil
    }

    /// Whether a doc comment stands before a declaration, attributes between them apart.
    func isDocumented(_ index: Int) -> Bool {
        var above = index - 1
        while above >= 0 {
            let line = lines[above].drop { $0 == " " }
            if line.hasPrefix("///") { return true }
            let isBetween = line.hasPrefix("@") || line.hasPrefix("//") || line.hasPrefix("#if")
            if !isBetween { return false }
            above -= 1
        }
        return false
    }
}
