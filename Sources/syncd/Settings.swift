import ArgumentParser
import Configuration
import Foundation
import SyncCore
import SyncTransport
import SystemPackage
import ZeroMQ

/// Flags over environment over file.
///
/// A setting `intake` is the flag `--intake`, the variable `SYNCD_INTAKE`, and the key `intake` in
/// the object `syncd` of the JSON file. Every value is read as text first, whatever it is in the
/// file, so that one that makes no sense is told and never taken for a missing one.
struct Settings: Sendable {
    private let environment: ConfigReader
    private let file: ConfigReader?
    private let fileName: String
    /// What `--set` says, by key.
    private var assigned: [String: String] = [:]

    private init(environment: ConfigReader, file: ConfigReader?, named fileName: String = "") {
        self.environment = environment
        self.file = file
        self.fileName = fileName
    }

    /// Reads the environment and, if one is named, the file.
    static func load(file: String?) async throws -> Settings {
        let environment = ConfigReader(provider: EnvironmentVariablesProvider())
        guard let named = file ?? environment.string(forKey: "syncd.config") else {
            return Settings(environment: environment, file: nil)
        }
        guard FileManager.default.fileExists(atPath: named) else {
            throw Trouble(
                "There is no configuration file \(named); name one that is there by --config or "
                    + "SYNCD_CONFIG, or leave both away.", code: .configuration)
        }
        do {
            try check(file: named)
            let provider = try await FileProvider<JSONSnapshot>(filePath: FilePath(named))
            return Settings(
                environment: environment, file: ConfigReader(provider: provider), named: named)
        } catch let trouble as Trouble {
            throw trouble
        } catch {
            throw Trouble(
                "The configuration file \(named) can't be read: "
                    + "\((error as? CocoaError)?.localizedDescription ?? "\(error)") "
                    + "Give a JSON file with an object named \"syncd\".", code: .configuration)
        }
    }

    /// Refuses a file without the object, and keys that nobody reads: they would be typing errors.
    private static func check(file: String) throws {
        let data = try Data(contentsOf: URL(fileURLWithPath: file))
        let top = try JSONSerialization.jsonObject(with: data) as? [String: Any]
        guard let object = top?["syncd"] as? [String: Any] else {
            throw Trouble(
                "The configuration file \(file) has no object \"syncd\"; write "
                    + "{\"syncd\": {\"intake\": \"tcp://127.0.0.1:7461\"}}.",
                code: .configuration)
        }
        let unknown = object.keys.filter { !SettingCatalog.keys.contains($0) }.sorted()
        guard unknown.isEmpty else {
            throw Trouble(
                "The configuration file \(file) sets \(unknown.joined(separator: ", ")), which "
                    + "nobody reads; 'syncd settings' lists what can be set.",
                code: .configuration)
        }
    }

    /// The same settings under what `--set KEY=VALUE` says.
    func setting(_ pairs: [String]) throws -> Settings {
        var settings = self
        for pair in pairs {
            let parts = pair.split(separator: "=", maxSplits: 1).map(String.init)
            guard parts.count == 2, SettingCatalog.limitKeys.contains(parts[0]) else {
                throw Trouble(
                    "--set \(pair) names no limit; write --set KEY=VALUE with a key that "
                        + "'syncd settings' lists.", code: .configuration)
            }
            settings.assigned[parts[0]] = parts[1]
        }
        return settings
    }

    /// A text: the flag if it is given, else environment, else file.
    func text(_ key: String, _ flag: String?) -> String? {
        if let flag = flag ?? assigned[key] { return flag }
        let name = ConfigKey("syncd.\(key)")
        if let text = environment.string(forKey: name) { return text }
        guard let file else { return nil }
        if let text = file.string(forKey: name) { return text }
        if let number = file.int(forKey: name) { return String(number) }
        if let bool = file.bool(forKey: name) { return bool ? "true" : "false" }
        if let number = file.double(forKey: name) { return String(number) }
        if let numbers = file.intArray(forKey: name) {
            return numbers.map(String.init).joined(separator: ",")
        }
        return file.stringArray(forKey: name).map { $0.joined(separator: ",") }
    }

    /// Who gives a setting: `--set`, a variable or a file; nil: nobody.
    func origin(of key: String) -> String? {
        if assigned[key] != nil { return "--set" }
        if environment.string(forKey: ConfigKey("syncd.\(key)")) != nil {
            return Self.variable(key)
        }
        return text(key, nil) == nil ? nil : fileName
    }

    /// A text that must be given somewhere.
    func required(_ key: String, _ flag: String?, for purpose: String) throws -> String {
        if let text = text(key, flag) { return text }
        throw Trouble(
            "\(purpose) is missing; give --\(key) or set \(Self.variable(key)).", code: .usage)
    }

    /// An endpoint; one that libzmq would refuse, or take for another one, is refused here.
    ///
    /// - Parameter isBound: Whether this process listens there.
    func endpoint(_ key: String, _ flag: String?, isBound: Bool = false) throws -> String? {
        guard let text = text(key, flag) else { return nil }
        if let flaw = EndpointPolicy.flaw(of: text, isBound: isBound) {
            throw Trouble(
                "\(key) is '\(text)' (by flag, \(Self.variable(key)) or configuration file): "
                    + "\(flaw)", code: .configuration)
        }
        return text
    }

    /// Refuses a place where two of the coordinator's sockets would listen.
    static func checkDistinct(_ endpoints: [String]) throws {
        guard let double = EndpointPolicy.double(among: endpoints) else { return }
        throw Trouble(
            "\(double) is given for two sockets; give intake, worker-endpoint and status each an "
                + "endpoint of its own.", code: .configuration)
    }

    /// A whole number in a range.
    func number(_ key: String, _ flag: Int?, in range: ClosedRange<Int>) throws -> Int? {
        guard let text = text(key, flag.map { String($0) }) else { return nil }
        guard let value = Int(text), range.contains(value) else {
            throw Trouble(
                "\(key) is '\(text)' (by flag, \(Self.variable(key)) or configuration file); give "
                    + "a whole number from \(range.lowerBound) to \(range.upperBound).",
                code: .configuration)
        }
        return value
    }

    /// A yes or no.
    func flag(_ key: String, _ flag: Bool) throws -> Bool {
        if flag { return true }
        guard let text = text(key, nil) else { return false }
        switch text.lowercased() {
        case "true", "yes", "1", "on": return true
        case "false", "no", "0", "off", "": return false
        case let other:
            throw Trouble(
                "\(key) is '\(other)' (\(Self.variable(key)) or configuration file); give true "
                    + "or false.", code: .configuration)
        }
    }

    /// A secret and where it was found: a file that a setting names, or else the environment; never
    /// a flag, which others can read.
    ///
    /// - Parameter what: For the sentence, for instance "E2B's API key".
    func secret(
        _ what: String, file key: String, variable: String
    ) throws -> (source: String, text: String)? {
        let source: String
        let text: String
        if let file = self.text(key, nil) {
            guard let found = try? String(contentsOfFile: file, encoding: .utf8) else {
                throw Trouble(
                    "The file \(file) with \(what) can't be read; make it readable for this user, "
                        + "or name another one by \(Self.variable(key)).", code: .configuration)
            }
            (source, text) = (file, found)
        } else {
            let found = ProcessInfo.processInfo.environment[variable] ?? ""
            if found.isEmpty { return nil }
            (source, text) = (variable, found)
        }
        return (source, text.trimmingCharacters(in: .whitespacesAndNewlines))
    }

    /// The environment variable of a key.
    static func variable(_ key: String) -> String {
        "SYNCD_" + key.replacingOccurrences(of: "-", with: "_").uppercased()
    }
}

/// A failure that ends the command: a sentence for a person, and the exit code.
struct Trouble: Error, CustomStringConvertible {
    /// Documented exit codes.
    enum Code: Int32 {
        case failed = 1
        case refused = 2
        case notVisible = 3
        case usage = 64
        case unavailable = 69
        case replaced = 75
        case configuration = 78
    }

    let sentence: String
    let code: Code

    init(_ sentence: String, code: Code = .failed) {
        self.sentence = sentence
        self.code = code
    }

    var description: String { sentence }
}

/// Runs a command's body; a failure becomes a sentence on standard error and an exit code.
func reporting(_ body: () async throws -> Void) async throws {
    do {
        try await body()
    } catch let trouble as Trouble {
        Terminal.complain(trouble.sentence)
        throw ExitCode(trouble.code.rawValue)
    } catch let error as JournalError {
        Terminal.complain(error.message)
        throw ExitCode(exitCode(of: error).rawValue)
    } catch let silence as Producer.Silence {
        Terminal.complain(silence.description)
        throw ExitCode(Trouble.Code.unavailable.rawValue)
    } catch let error as ZeroMQError {
        Terminal.complain(error.message)
        throw ExitCode(exitCode(of: error).rawValue)
    } catch let error as StoreError {
        Terminal.complain(error.message)
        throw ExitCode(exitCode(of: error).rawValue)
    } catch let error as SandboxError {
        Terminal.complain(error.message)
        throw ExitCode(
            (error.failureClass == .target ? Trouble.Code.unavailable : .failed).rawValue)
    } catch let exit as ExitCode {
        throw exit
    } catch {
        Terminal.complain("\(error)")
        throw ExitCode(Trouble.Code.failed.rawValue)
    }
}

private func exitCode(of error: JournalError) -> Trouble.Code {
    switch error.code {
    case .unavailable: .unavailable
    case .fatal: .failed
    case .held: .configuration
    }
}

/// An endpoint that another process has, or that can't be, can't be had by starting again either;
/// an address of this machine may come up later.
private func exitCode(of error: ZeroMQError) -> Trouble.Code {
    switch error.code {
    case .addressInUse, .invalid, .forbidden: .configuration
    case .addressUnavailable, .exhausted, .closed, .terminated, .outOfTurn, .other: .failed
    }
}

private func exitCode(of error: StoreError) -> Trouble.Code {
    switch error.code {
    case .unavailable: .unavailable
    case .corrupt: .failed
    case .foreign: .configuration
    }
}
