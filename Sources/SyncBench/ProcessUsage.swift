import Foundation

/// CPU time and memory of a process, as the kernel counts them.
struct ProcessUsage: Sendable {
    let cpuSeconds: Double
    let peakMebibytes: Double
    let residentMebibytes: Double

    /// Reads `/proc`; nil when the process has ended.
    init?(of pid: pid_t) {
        guard let stat = try? String(contentsOfFile: "/proc/\(pid)/stat", encoding: .utf8),
            let status = try? String(contentsOfFile: "/proc/\(pid)/status", encoding: .utf8),
            let close = stat.lastIndex(of: ")")
        else { return nil }
        // After the name in parentheses the fields count from 3; 14 and 15 are the clock ticks.
        let fields = stat[stat.index(after: close)...].split(separator: " ")
        guard fields.count > 12, let user = Double(fields[11]), let system = Double(fields[12])
        else { return nil }
        cpuSeconds = (user + system) / Double(sysconf(Int32(_SC_CLK_TCK)))
        peakMebibytes = Self.mebibytes("VmHWM:", in: status)
        residentMebibytes = Self.mebibytes("VmRSS:", in: status)
    }

    /// A line of `/proc/PID/status` that counts KiB.
    private static func mebibytes(_ key: String, in status: String) -> Double {
        let line = status.split(separator: "\n").first { $0.hasPrefix(key) }
        let words = line?.split { $0 == " " || $0 == "\t" } ?? []
        return (words.dropFirst().first.flatMap { Double($0) } ?? 0) / 1_024
    }

    /// Children of a process by the words of their command line.
    static func children(of pid: pid_t) -> [(pid: pid_t, words: [String])] {
        let manager = FileManager.default
        let threads = (try? manager.contentsOfDirectory(atPath: "/proc/\(pid)/task")) ?? []
        return threads.flatMap { thread -> [(pid: pid_t, words: [String])] in
            let list = "/proc/\(pid)/task/\(thread)/children"
            let text = (try? String(contentsOfFile: list, encoding: .utf8)) ?? ""
            return text.split(separator: " ").compactMap { pid_t($0) }.map { child in
                let line = (try? Data(contentsOf: URL(fileURLWithPath: "/proc/\(child)/cmdline")))
                let words = (line ?? Data()).split(separator: 0).map {
                    String(decoding: $0, as: UTF8.self)
                }
                return (child, words)
            }
        }
    }
}

/// What some processes use from now on.
struct UsageWatch {
    private let before: [(name: String, pid: pid_t, usage: ProcessUsage)]

    init(_ processes: [(name: String, pid: pid_t)]) {
        before = processes.compactMap { process in
            ProcessUsage(of: process.pid).map { (process.name, process.pid, $0) }
        }
    }

    /// What they used; those that have ended are left out.
    var figures: [ProcessFigures] {
        before.compactMap { name, pid, usage in
            ProcessUsage(of: pid).map {
                ProcessFigures(
                    name: name, cpuSeconds: $0.cpuSeconds - usage.cpuSeconds,
                    peakMebibytes: $0.peakMebibytes)
            }
        }
    }

    /// Seconds of CPU that all of them used together.
    var cpuSeconds: Double { figures.reduce(0) { $0 + $1.cpuSeconds } }
}
