import Glibc
import Testing

@testable import ZeroMQ

@Suite struct FrameTests {
    @Test func `a frame keeps bytes, text and emptiness`() {
        #expect(Frame([1, 2, 3]).bytes == [1, 2, 3])
        #expect(Frame((0..<100).map(UInt8.init)[10..<90]).count == 80)
        #expect(Frame(repeatElement(9, count: 3)).bytes == [9, 9, 9])
        #expect(Frame("größe").text == "größe")
        #expect(Frame("").isEmpty)
        #expect(Frame("").text?.isEmpty == true)
        #expect(Frame([UInt8]()).bytes.isEmpty)
    }

    @Test func `text that is not UTF-8 is nil and never repaired`() {
        #expect(Frame([0x66, 0xff, 0x66]).text == nil)
        #expect(Frame([0xc3]).text == nil)
        #expect(Frame([0xed, 0xa0, 0x80]).text == nil)
    }

    @Test func `frames are equal when their bytes are`() {
        #expect(Frame("a") == Frame([0x61]))
        #expect(Frame("a") != Frame("b"))
        #expect(Frame("a") != Frame("aa"))
        #expect(Frame("") == Frame([UInt8]()))
    }

    @Test func `a shared owner lives as long as the frame`() throws {
        let wasReleased = try Wakeup()
        do {
            let frame = LentBytes(count: 100, wasReleased: wasReleased).frame
            #expect(!wasReleased.waits(atMost: .zero))
            #expect(frame.bytes == [UInt8](repeating: 7, count: 100))
        }
        #expect(wasReleased.waits(atMost: .zero))
    }

    @Test func `one frame is sent by many threads at once`() async throws {
        let context = try Context()
        let frame = Frame([UInt8](repeating: 3, count: 100_000))
        try await withThrowingTaskGroup(of: Void.self) { group in
            for number in 0..<4 {
                group.addTask {
                    let left = try Socket(.pair, in: context)
                    let right = try Socket(.pair, in: context)
                    try left.bind("inproc://many-\(number)")
                    try right.connect("inproc://many-\(number)")
                    for _ in 0..<500 {
                        try left.deliver([frame, frame])
                        #expect(try right.nextMessage() == [frame, frame])
                    }
                }
            }
            try await group.waitForAll()
        }
        #expect(frame.bytes.count == 100_000)
    }

    @Test func `a wait is never shorter than asked`() {
        #expect(Duration.microseconds(1).wholeMilliseconds == 1)
        #expect(Duration.milliseconds(1500).wholeMilliseconds == 1500)
        #expect(Duration.seconds(-1).wholeMilliseconds == 0)
        #expect(Duration.zero.wholeMilliseconds == 0)
        #expect(Duration.seconds(Int64.max).wholeMilliseconds == Int.max)
    }
}
