import SyncCore
import SyncTestKit
import Testing
import ZeroMQ

@testable import SyncTransport

/// Valid messages, damaged: each is read as something or refused with a sentence, never a crash.
@Suite struct FuzzTests {
    private static let rounds = 20_000

    /// Lists of frames of every kind of message, one after the other.
    private static func draw(_ sample: inout Sample, _ round: Int) -> Message {
        switch round % 4 {
        case 0:
            let verb = sample.one(of: Wire.Request.allCases)
            return ClientCodec.encode(sample.request(verb), id: [49])
        case 1:
            let route = ClientRoute(envelope: [], request: [49])
            return ClientCodec.encode(
                sample.reply(sample.one(of: Wire.Reply.allCases)), to: route)
        case 2:
            return WorkerCodec.encode(sample.message(sample.one(of: Wire.FromWorker.allCases)))
        default:
            return CoordinatorCodec.encode(
                sample.message(sample.one(of: Wire.ToWorker.allCases)))
        }
    }

    private static func damage(_ frames: Message, _ sample: inout Sample) -> Message {
        var frames = frames
        for _ in 0...sample.index(3) {
            guard !frames.isEmpty else { return frames }
            let place = sample.index(frames.count)
            switch sample.index(7) {
            case 0: frames.remove(at: place)
            case 1: frames.insert(frames[place], at: sample.index(frames.count + 1))
            case 2: frames.swapAt(place, sample.index(frames.count))
            case 3: frames[place] = Frame("")
            case 4: frames.removeLast(frames.count - place)
            case 5: frames[place] = Frame(frames[place].bytes.prefix(sample.index(8)))
            default:
                var bytes = frames[place].bytes
                if bytes.isEmpty { bytes = [0] }
                bytes[sample.index(bytes.count)] = UInt8(truncatingIfNeeded: sample.bits())
                frames[place] = Frame(bytes)
            }
        }
        return frames
    }

    @Test func `twenty thousand damaged messages crash no decoder`() throws {
        var sample = Sample(seed: 20)
        var refused = 0
        for round in 0..<Self.rounds {
            let frames = Self.damage(Self.draw(&sample, round), &sample)
            // Each decoder meets the messages of all: nothing but the socket tells them apart.
            if let decoded = ClientCodec.request(
                [Frame("route")] + frames, limits: WireLimits()),
                case .failure(let rejection) = decoded.request
            {
                #expect(!rejection.sentence.isEmpty)
                refused += 1
            }
            _ = ClientCodec.reply(frames)
            do throws(Rejection) {
                _ = try WorkerCodec.decode(frames[...])
            } catch {
                #expect(!error.sentence.isEmpty)
            }
            do throws(Rejection) {
                _ = try CoordinatorCodec.decode(frames)
            } catch {
                #expect(!error.sentence.isEmpty)
            }
        }
        #expect(refused > Self.rounds / 4)
    }
}
