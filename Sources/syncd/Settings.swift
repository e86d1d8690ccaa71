import ArgumentParser
import Configuration
import Foundation
import SyncCore
import SystemPackage

/// Flags over environment over file.
///
/// A setting `intake` is the flag `--intake`, the variable `SYNCD_INTAKE`, and the key `intake` in
/// the object `syncd` of the JSON file.
struct Settings: Sendable {
    private let reader: ConfigReader

    /// Reads the environment and, if one is named, the file.
    static func load(file: String?) async throws -> Settings {
        let environment = EnvironmentVariablesProvider()
        var providers: [any ConfigProvider] = [environment]
        let named =
            file ?? ConfigReader(provider: environment).string(forKey: "syncd.config")
        if let named {
            do {
                providers.append(
                    try await FileProvider<JSONSnapshot>(filePath: FilePath(named)))
            } catch {
                throw Trouble(
                    "The configuration file \(named) can't be read: \(error). Give a JSON file with "
                        + "an object named \"syncd\".", code: .configuration)
            }
        }
        return Settings(reader: ConfigReader(providers: providers))
    }

    /// A text: the flag if it is given, else environment, else file.
    func text(_ key: String, _ flag: String?) -> String? {
        flag ?? reader.string(forKey: ConfigKey("syncd.\(key)"))
    }

    /// A text that must be given somewhere.
    func required(_ key: String, _ flag: String?, for purpose: String) throws -> String {
        if let text = text(key, flag) { return text }
        let variable = "SYNCD_" + key.replacingOccurrences(of: "-", with: "_").uppercased()
        throw Trouble(
            "\(purpose) is missing; give --\(key) or set \(variable).", code: .usage)
    }

    /// A whole number in a range.
    func number(_ key: String, _ flag: Int?, in range: ClosedRange<Int>) throws -> Int? {
        guard let value = flag ?? reader.int(forKey: ConfigKey("syncd.\(key)")) else { return nil }
        guard range.contains(value) else {
            throw Trouble(
                "--\(key) is \(value), outside \(range.lowerBound) to \(range.upperBound).",
                code: .usage)
        }
        return value
    }

    /// A yes or no.
    func flag(_ key: String, _ flag: Bool) -> Bool {
        flag || reader.bool(forKey: ConfigKey("syncd.\(key)"), default: false)
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
        throw ExitCode(
            error.code == .held ? Trouble.Code.configuration.rawValue : Trouble.Code.failed.rawValue
        )
    } catch let error as StoreError {
        Terminal.complain(error.message)
        throw ExitCode(Trouble.Code.failed.rawValue)
    } catch let error as SandboxError {
        Terminal.complain(error.message)
        throw ExitCode(Trouble.Code.failed.rawValue)
    } catch let exit as ExitCode {
        throw exit
    } catch {
        Terminal.complain("\(error)")
        throw ExitCode(Trouble.Code.failed.rawValue)
    }
}
