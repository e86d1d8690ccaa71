@main struct Syncd { static func main() {} }
