import SyncCore

/// Everything that a value says, as text; contents by their bytes, whoever owns them.
func portrait(_ value: Any) -> String {
    if let content = value as? Content { return "\(content.bytes)" }
    if let path = value as? EditPath { return "\(Array(path.text.utf8))" }
    let mirror = Mirror(reflecting: value)
    if mirror.children.isEmpty { return "\(value)" }
    var parts = mirror.children.map { "\($0.label ?? ""): \(portrait($0.value))" }
    switch mirror.displayStyle {
    case .dictionary, .set: parts.sort()
    default: break
    }
    return "(\(parts.joined(separator: ", ")))"
}
