import Foundation
import Testing

/// Who may know whom, and who may say what.
struct HouseTests {
    private struct Room {
        /// Targets of this package and of others.
        let uses: Set<String>
        /// Modules of the toolchain.
        var system: Set<String> = []
    }

    private static let everyProcess: Set<String> = ["Foundation", "Glibc", "Synchronization"]

    /// Programs may use every library below them.
    private static let programs: Set<String> = ["syncd", "SyncBench", "SyncSim"]

    /// The import table.
    private static let rooms: [String: Room] = [
        "CLibZMQ": Room(uses: []),
        "CLibPQ": Room(uses: []),
        "CLinux": Room(uses: []),
        "ZeroMQ": Room(uses: ["CLibZMQ", "CLinux"], system: ["Glibc", "Synchronization"]),
        "SyncCore": Room(
            uses: ["DequeModule", "HeapModule", "OrderedCollections"], system: ["Swift"]),
        "SyncTransport": Room(
            uses: ["ZeroMQ", "SyncCore", "OrderedCollections"],
            system: ["FoundationEssentials", "Glibc", "Synchronization"]),
        "SyncStore": Room(
            uses: [
                "SyncCore", "GRDB", "GRDBSQLite", "CLibPQ", "CLinux", "DequeModule",
                // Convex is reached over HTTP; NIO's types are the client's.
                "AsyncHTTPClient", "NIOCore", "NIOHTTP1",
            ],
            system: ["Darwin", "Dispatch", "Foundation", "Glibc", "Synchronization"]),
        "SyncSandbox": Room(
            uses: [
                // E2B is reached over HTTP; NIO's types are the client's.
                "SyncCore", "CLinux", "AsyncHTTPClient", "NIOCore", "NIOHTTP1", "NIOPosix",
            ],
            system: ["Dispatch", "Foundation", "Glibc", "Synchronization"]),
        // The two shells own context and loop, so they know ZeroMQ's types (article Decisions).
        "SyncCoordinator": Room(
            uses: ["SyncTransport", "SyncCore", "ZeroMQ", "Logging", "ServiceLifecycle"],
            system: ["Synchronization"]),
        "SyncWorker": Room(
            uses: ["SyncTransport", "SyncCore", "ZeroMQ", "Logging", "ServiceLifecycle"],
            system: ["Synchronization"]),
        "SyncClient": Room(
            uses: ["SyncTransport", "SyncCore", "ZeroMQ"], system: everyProcess),
        "SyncSimulator": Room(
            uses: ["SyncCore", "DequeModule", "HeapModule", "OrderedCollections"],
            system: ["Synchronization"]),
    ]

    /// Modules that a file imports, with the lines.
    private static func imports(of file: SourceFile) -> [(module: String, place: String)] {
        file.code.indices.compactMap { index in
            var words = file.code[index].split(separator: " ").map(String.init)
            while let first = words.first, first != "import" {
                let isModifier =
                    first.hasPrefix("@")
                    || ["package", "public", "internal", "private", "fileprivate"].contains(first)
                guard isModifier else { return nil }
                words.removeFirst()
            }
            guard words.count > 1 else { return nil }
            let kinds = ["struct", "class", "enum", "func", "protocol", "var", "let", "typealias"]
            let name = kinds.contains(words[1]) && words.count > 2 ? words[2] : words[1]
            return (String(name.split(separator: ".")[0]), file.place(index))
        }
    }

    @Test func `every room imports only what the table allows`() {
        for name in SourceTree.folders(below: "Sources/") {
            if Self.programs.contains(name) { continue }
            guard let room = Self.rooms[name] else {
                Issue.record("Sources/\(name) is not in the import table: add it, with a reason")
                continue
            }
            for file in SourceTree.swift(below: "Sources/\(name)/") {
                for (module, place) in Self.imports(of: file) {
                    #expect(
                        room.uses.contains(module) || room.system.contains(module),
                        "\(place) imports \(module), which the table does not allow to \(name)")
                }
            }
        }
    }

    @Test func `nothing imports a program, only tests import the test kit`() {
        let forbidden = Self.programs.union(["SyncTestKit"])
        for file in SourceTree.swift(below: "Sources/") {
            for (module, place) in Self.imports(of: file) {
                #expect(!forbidden.contains(module), "\(place) imports \(module)")
            }
        }
    }

    @Test func `the manifest declares what is imported, and not more than the table allows`() throws
    {
        let targets = try Manifest.read().targets
        for name in SourceTree.folders(below: "Sources/") {
            let declared = Set(try #require(targets[name], "no target \(name) in Package.swift"))
            if let room = Self.rooms[name] {
                for dependency in declared {
                    #expect(
                        room.uses.contains(dependency),
                        "Package.swift gives \(dependency) to \(name); the table does not")
                }
            }
            let toolchain: Set<String> = [
                "Swift", "Foundation", "FoundationEssentials", "Glibc", "Darwin", "Dispatch",
                "Synchronization", "Testing",
            ]
            for file in SourceTree.swift(below: "Sources/\(name)/") {
                for (module, place) in Self.imports(of: file) where !toolchain.contains(module) {
                    #expect(
                        declared.contains(module),
                        "\(place) imports \(module); give it to \(name) in Package.swift")
                }
            }
        }
    }

    @Test func `the core knows no clock, no chance, no input and no output`() {
        let forbidden = [
            "print", "Date", ".now", "random", "Task {", "Task.sleep", "Task.detached",
            "ContinuousClock", "SuspendingClock", "SystemRandomNumberGenerator", "readLine",
            "Thread", "Mutex", "Hasher",
        ]
        for file in SourceTree.swift(below: "Sources/SyncCore/") {
            for word in forbidden {
                #expect(file.places(of: word) == [], "SyncCore says \(word)")
            }
        }
    }

    @Test func `only ZeroMQ says zmq`() {
        for file in SourceTree.swift(below: "Sources/") where file.target != "ZeroMQ" {
            let places = file.code.indices.filter { file.code[$0].contains("zmq_") }
            #expect(places.map(file.place) == [])
        }
    }

    @Test func `only the store says SQL`() {
        let words = ["SELECT", "INSERT", "UPDATE", "DELETE", "CREATE", "PRAGMA", "BEGIN"]
        for file in SourceTree.swift(below: "Sources/") where file.target != "SyncStore" {
            for index in file.lines.indices where !file.isComment(index) {
                for word in words where file.lines[index].holds(word: word + " ") {
                    #expect(
                        !file.lines[index].contains("\""), "\(file.place(index)) says \(word)")
                }
            }
        }
    }

    @Test func `libraries print nothing and hide no failure`() {
        for file in SourceTree.swift(below: "Sources/") {
            #expect(file.places(of: "try!") == [])
            #expect(file.places(of: "as!") == [])
            if !Self.programs.contains(file.target) { #expect(file.places(of: "print") == []) }
            for index in file.lines.indices {
                for word in ["TODO", "FIXME", "XXX"] {
                    #expect(!file.lines[index].holds(word: word), "\(file.place(index))")
                }
            }
        }
    }

    @Test func `package is the widest access outside of SyncClient`() {
        for file in SourceTree.swift(below: "Sources/") where file.target != "SyncClient" {
            #expect(file.places(of: "public") == [])
            #expect(file.places(of: "@inlinable") == [])
        }
    }

    @Test func `every setting that the command reads is in the catalog`() throws {
        let catalog = try #require(SourceTree.file("Sources/syncd/SettingCatalog.swift")).text
        for file in SourceTree.swift(below: "Sources/syncd/") {
            for call in [
                "settings.text(\"", "settings.required(\"", "settings.number(\"",
                "settings.flag(\"",
            ] {
                for part in file.text.components(separatedBy: call).dropFirst() {
                    let key = part.prefix { $0 != "\"" }
                    #expect(catalog.contains("\"\(key)\""), "\(file.path) reads \(key)")
                }
            }
        }
    }

    @Test func `the top level holds what the house says`() {
        let allowed: Set<String> = ["Package.swift", "README.md"]
        for file in SourceTree.files where !file.path.contains("/") {
            #expect(
                allowed.contains(file.path) || file.path.hasPrefix("."),
                "\(file.path) does not belong to the top level")
        }
        for folder in SourceTree.folders(below: "") where !folder.hasPrefix(".") {
            #expect(["Sources", "Tests", "deploy"].contains(folder), "\(folder)/")
        }
    }
}

extension SourceFile {
    /// Whether a line is a comment as a whole.
    func isComment(_ index: Int) -> Bool {
        lines[index].drop { $0 == " " }.hasPrefix("//")
    }
}
