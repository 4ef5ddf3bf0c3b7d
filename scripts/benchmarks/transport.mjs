// The freetumor side of transport.py: answers every request with the same tensors; decodes and takes pushed messages.
import { openTensorServer } from '../../dist/transport/tensor-server.js'

const [directory, sizes] = [process.argv[2], JSON.parse(process.argv[3])]
const tensors = new Map(
  sizes.map((size, at) => [
    `t${at}`,
    { elementType: 'uint8', shape: [size], data: new Uint8Array(size).fill(7) },
  ]),
)
const none = new Map()
await openTensorServer({
  token: '',
  directory,
  onMessage: async (_, { kind, body, tensors: pushed }) => {
    if (kind.endsWith('StepRequest')) return { kind, body, tensors }
    if (pushed.size !== sizes.length) throw new Error(`${pushed.size} tensors came`)
    return { kind, body, tensors: none }
  },
  onFailure: (error) => {
    console.error(error)
    process.exit(1)
  },
})
console.log('ready')
