import SyncCore

extension SimulatedCluster {
    /// An operator looks now and then, and gives an order.
    func startOperator() {
        guard scenario.hasOperator else { return }
        plan(after: producerChance.millis(1_000, 6_000)) { cluster in
            guard cluster.isStormy else { return }
            cluster.giveOrder()
            cluster.startOperator()
        }
    }

    private func giveOrder() {
        if producerChance.happens(perMille: 700) {
            decideFailed()
            return
        }
        let projects = disk.projects.values.sorted { $0.name < $1.name }
        guard let project = producerChance.pick(projects),
            let target = producerChance.pick(project.targets)
        else { return }
        var action = ProjectAction.hydrate([target.url])
        if !target.isAttached {
            action = .attach([target.url])
        } else if target.url.scheme == "e2b", producerChance.happens(perMille: 500) {
            action = .detach([target.url])
        }
        note("the operator: \(action) of \(project.name)")
        ask(.project(action), of: project.name, over: operatorLink)
    }

    /// Entries of the failed list are retried or discarded, also ones that a newer edit closes now.
    private func decideFailed() {
        let failed = disk.rows.values.filter { $0.failure != nil }
            .sorted { $0.sequence < $1.sequence }
        guard let row = producerChance.pick(failed) else { return }
        let action: FailedAction = producerChance.happens(perMille: 600) ? .retry : .discard
        let items = failed.filter { $0.file.project == row.file.project }.prefix(3).map {
            FailedOrder.Item(path: $0.file.path, sequence: $0.sequence)
        }
        note("the operator: \(action) \(items.map(\.sequence))")
        ask(
            .order(
                FailedOrder(
                    action: action, project: row.file.project, by: Scenario.name("operator"),
                    items: Array(items))),
            of: row.file.project, over: operatorLink)
    }

    /// Whether a path above or below a file lives in the store beside it, and stands in a sandbox:
    /// they can't both be seen.
    func isContested(_ file: FileKey, in url: TargetURL) -> Bool {
        store.newest.contains { other, newest in
            other.project == file.project && other.path != file.path
                && !newest.change.isDelete && other.path.isRelated(to: file.path)
                && sandboxes[url]?.content(other.path) != nil
        }
    }
}
