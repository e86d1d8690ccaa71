internal import Foundation
internal import Glibc
internal import SyncCore
internal import SyncSandbox
internal import SyncTestKit
internal import Testing

private let stage = SandboxConformance.stage(1)

private func put(_ path: String, _ text: String, isRefresh: Bool = false) throws -> SandboxEdit {
    try SandboxConformance.put(path, text, isRefresh: isRefresh)
}

/// Files that programs in the sandbox change.
struct DriftTests {
    /// A way of changing a file behind syncd's back, and what that is.
    enum Deed: CaseIterable {
        case append, rewrite, replace, link, make, move

        func happen(at path: String) throws {
            switch self {
            case .append:
                let file = open(path, O_WRONLY | O_APPEND)
                #expect(Glibc.write(file, "!", 1) == 1)
                close(file)
            case .rewrite:
                // As long as before: its time tells.
                try Data("2".utf8).write(to: URL(filePath: path))
                var times = [timespec(tv_sec: 1, tv_nsec: 1), timespec(tv_sec: 1, tv_nsec: 1)]
                #expect(utimensat(AT_FDCWD, path, &times, 0) == 0)
            case .replace:
                try Data("other".utf8).write(to: URL(filePath: path), options: .atomic)
            case .link:
                unlink(path)
                #expect(symlink("elsewhere", path) == 0)
            case .make:
                unlink(path)
                try Data("1".utf8).write(to: URL(filePath: path))
            case .move:
                // Another file that syncd has written.
                #expect(rename(path + ".other", path) == 0)
            }
        }

        var drift: Drift {
            switch self {
            case .append, .rewrite: .changed
            case .replace, .link, .make, .move: .foreign
            }
        }
    }

    @Test(arguments: Deed.allCases)
    func `a change by somebody else is written over, and told once`(_ deed: Deed) async throws {
        let sandbox = try LocalSandbox()
        defer { sandbox.remove() }
        let writer = try await sandbox.entered()
        #expect(try await writer.apply(put("d/a", "1"), through: stage) == nil)
        try await writer.apply(put("d/a.other", "1"), through: stage)
        try deed.happen(at: sandbox.path + "/d/a")
        #expect(try await writer.apply(put("d/a", "2"), through: stage) == deed.drift)
        #expect(try sandbox.entry("d/a") == .text("2"))
        #expect(try await writer.apply(put("d/a", "3"), through: stage) == nil)
    }

    @Test(arguments: Deed.allCases)
    func `a change by somebody else is kept when it is to be`(_ deed: Deed) async throws {
        let sandbox = try LocalSandbox()
        defer { sandbox.remove() }
        let writer = try await sandbox.entered(drift: .keep)
        try await writer.apply(put("a", "1"), through: stage)
        try await writer.apply(put("a.other", "1"), through: stage)
        try deed.happen(at: sandbox.path + "/a")
        let before = try sandbox.entry("a")
        for edit in [try put("a", "2"), try SandboxConformance.delete("a")] {
            let error = try await failure { try await writer.apply(edit, through: stage) }
            #expect(error.failureClass == .file)
            #expect(error.code == SandboxError.driftedCode)
            #expect(error.message.contains("'a' in sandbox 'p1' \(deed.drift.finding)"))
            #expect(try sandbox.entry("a") == before)
        }
        #expect(try sandbox.names("p1/.syncd/stage/\(stage)") == [])
        // A refill makes the sandbox what the store says.
        #expect(try await writer.apply(put("a", "2", isRefresh: true), through: stage) == nil)
        #expect(try sandbox.entry("a") == .text("2"))
        try await writer.apply(put("a", "3"), through: stage)
    }

    @Test func `a delete tells what it takes away`() async throws {
        let sandbox = try LocalSandbox()
        defer { sandbox.remove() }
        let writer = try await sandbox.entered()
        for path in ["same", "changed", "foreign"] {
            try await writer.apply(put(path, "1"), through: stage)
        }
        try Deed.append.happen(at: sandbox.path + "/changed")
        try Deed.replace.happen(at: sandbox.path + "/foreign")
        for (path, drift) in [("same", nil), ("changed", .changed), ("foreign", .foreign)]
            as [(String, Drift?)]
        {
            let edit = try SandboxConformance.delete(path)
            #expect(try await writer.apply(edit, through: stage) == drift)
            #expect(try sandbox.entry(path) == nil)
        }
        #expect(try await writer.apply(SandboxConformance.delete("same"), through: stage) == nil)
    }

    @Test func `a file that a loss of power has torn is nobody's work`() async throws {
        let sandbox = try LocalSandbox()
        defer { sandbox.remove() }
        let writer = try await sandbox.entered(drift: .keep)
        try await writer.apply(put("a", "12345"), through: stage)
        var status = stat()
        #expect(stat(sandbox.path + "/a", &status) == 0)
        #expect(truncate(sandbox.path + "/a", 0) == 0)
        var times = [status.st_atim, status.st_mtim]
        #expect(utimensat(AT_FDCWD, sandbox.path + "/a", &times, 0) == 0)
        #expect(try await writer.apply(put("a", "2"), through: stage) == nil)
    }

    @Test func `what another worker wrote is no drift, nor are bits and owners`() async throws {
        let sandbox = try LocalSandbox()
        defer { sandbox.remove() }
        let writer = try await sandbox.entered(drift: .keep)
        try await writer.apply(put("a", "1"), through: stage)
        #expect(chmod(sandbox.path + "/a", 0o600) == 0)
        if geteuid() == 0 { #expect(chown(sandbox.path + "/a", 1, 1) == 0) }
        let next = SandboxConformance.stage(2)
        let other = try sandbox.provider(drift: .keep).writer(for: LocalSandbox.target())
        try await other.enter(next)
        #expect(try await other.apply(put("a", "2"), through: next) == nil)
        try await writer.apply(put("a", "3"), through: stage)
    }

    @Test func `nobody looks when nobody wants to know`() async throws {
        let sandbox = try LocalSandbox()
        defer { sandbox.remove() }
        let writer = try await sandbox.entered(drift: .overwrite)
        try await writer.apply(put("a", "1"), through: stage)
        try Deed.replace.happen(at: sandbox.path + "/a")
        #expect(try await writer.apply(put("a", "2"), through: stage) == nil)
        #expect(try sandbox.entry("a") == .text("2"))
    }
}

/// The same in a sandbox of E2B, where looking costs requests.
struct E2BDriftTests {
    @Test func `a change by somebody else is written over, and told once`() async throws {
        try await E2BSandbox.with { sandbox in
            let writer = try await sandbox.entered { $0.drift = .report }
            for deed in DriftTests.Deed.allCases where deed != .rewrite {
                #expect(try await writer.apply(put("d/a", "1"), through: stage) == nil)
                try await writer.apply(put("d/a.other", "1"), through: stage)
                try deed.happen(at: sandbox.path + "/d/a")
                #expect(try await writer.apply(put("d/a", "2"), through: stage) == deed.drift)
                #expect(try sandbox.entry("d/a") == .text("2"))
            }
            // As long as before: the content tells.
            try await writer.apply(put("d/a", "1"), through: stage)
            try DriftTests.Deed.rewrite.happen(at: sandbox.path + "/d/a")
            #expect(try await writer.apply(put("d/a", "3"), through: stage) == .changed)
            #expect(try await writer.apply(put("d/a", "4"), through: stage) == nil)
        }
    }

    @Test func `a change by somebody else is kept when it is to be`() async throws {
        try await E2BSandbox.with { sandbox in
            let writer = try await sandbox.entered { $0.drift = .keep }
            try await writer.apply(put("a", "1"), through: stage)
            try DriftTests.Deed.append.happen(at: sandbox.path + "/a")
            for edit in [try put("a", "2"), try SandboxConformance.delete("a")] {
                let error = try await failure { try await writer.apply(edit, through: stage) }
                #expect(error.failureClass == .file)
                #expect(error.code == SandboxError.driftedCode)
                #expect(error.message.contains("sandbox 'sbx1' of E2B"))
                #expect(try sandbox.entry("a") == .text("1!"))
            }
            #expect(try sandbox.names(".syncd/stage/\(stage)") == [])
            #expect(try await writer.apply(put("a", "2", isRefresh: true), through: stage) == nil)
            #expect(try sandbox.entry("a") == .text("2"))
            // A refill, too, leaves what later changes are told by.
            try DriftTests.Deed.append.happen(at: sandbox.path + "/a")
            let error = try await failure { try await writer.apply(put("a", "3"), through: stage) }
            #expect(error.code == SandboxError.driftedCode)
        }
    }

    @Test func `a look that fails is no drift, and no failure of the sandbox`() async throws {
        try await E2BSandbox.with { sandbox in
            for policy in [DriftPolicy.report, .keep] {
                let writer = try await sandbox.entered { $0.drift = policy }
                try await writer.apply(put("a", "1", isRefresh: true), through: stage)
                sandbox.double.fail(.download, with: .refuse(500, "permission denied"))
                guard policy == .keep else {
                    #expect(try await writer.apply(put("a", "2"), through: stage) == nil)
                    continue
                }
                let error = try await failure {
                    try await writer.apply(put("a", "3"), through: stage)
                }
                #expect(error.failureClass == .attempt)
            }
        }
    }

    @Test func `what was uploaded together with others is not known, and no drift`() async throws {
        try await E2BSandbox.with { sandbox in
            let first = try await sandbox.entered()
            try await first.apply(put("a", "1", isRefresh: true), through: stage)
            let writer = try await sandbox.entered { $0.drift = .report }
            try DriftTests.Deed.append.happen(at: sandbox.path + "/a")
            try await writer.apply(put("b", "1"), through: stage)
            #expect(try await writer.apply(put("a", "2"), through: stage) == nil)
        }
    }

    @Test func `looking costs one request, or two when only the content tells`() async throws {
        try await E2BSandbox.with { sandbox in
            let writer = try await sandbox.entered { $0.drift = .report }
            try await writer.apply(put("a", "1"), through: stage)
            func cost(_ text: String) async throws -> Int {
                let before = sandbox.double.fileRequests
                try await writer.apply(put("a", text), through: stage)
                return sandbox.double.fileRequests - before
            }
            #expect(try await cost("2") == 4)
            try DriftTests.Deed.append.happen(at: sandbox.path + "/a")
            #expect(try await cost("3") == 3)
        }
    }
}
