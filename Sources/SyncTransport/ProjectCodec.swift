internal import SyncCore
internal import ZeroMQ

extension Body {
    /// What an operator asks of a project.
    struct Action: Codable {
        var action: String?
        var targets: [String]?
    }
}

/// One frame ↔ an operator's command about a project.
enum ProjectCodec {
    static func encode(_ action: ProjectAction) -> Frame {
        switch action {
        case .show: Body.encode(Body.Action(action: "show"))
        case .attach(let targets): encode("attach", targets)
        case .detach(let targets): encode("detach", targets)
        case .hydrate(let targets): encode("hydrate", targets)
        }
    }

    private static func encode(_ word: String, _ targets: [TargetURL]) -> Frame {
        Body.encode(Body.Action(action: word, targets: targets.map(\.text)))
    }

    static func action(from reader: inout FrameReader) throws(Rejection) -> ProjectAction {
        let body = try reader.query(Body.Action.self)
        let targets = try Field.targets(body.targets ?? [])
        switch body.action ?? "show" {
        case "show": return .show
        case "hydrate": return .hydrate(targets)
        case "attach", "detach":
            guard !targets.isEmpty else {
                throw Rejection(.badRequest, "Name at least one target to attach or detach.")
            }
            return body.action == "attach" ? .attach(targets) : .detach(targets)
        default:
            throw Rejection(
                .badRequest, "The action is one of show, attach, detach and hydrate.")
        }
    }
}
