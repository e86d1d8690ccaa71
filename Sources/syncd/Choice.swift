/// One setting of a few words.
struct Choice<Value: Sendable & RawRepresentable & CaseIterable>: Sendable
where Value.RawValue == String {
    let key: String
    let standard: Value
    let meaning: String

    init(_ key: String, _ standard: Value, _ meaning: String) {
        self.key = key
        self.standard = standard
        self.meaning = meaning
    }

    /// What somebody gives, or else the standard.
    func value(_ settings: Settings) throws -> Value {
        guard let text = settings.text(key, nil) else { return standard }
        guard let value = Value(rawValue: text) else {
            let words = Value.allCases.map { "'\($0.rawValue)'" }.joined(separator: ", ")
            throw Trouble(
                "\(key) is '\(text)' (by --set, \(Settings.variable(key)) or configuration file); "
                    + "give one of \(words).", code: .configuration)
        }
        return value
    }
}
