// Reads paths from stdin, one a line; prints a JSON line for each: {verdict, voxels?, peakBytes} of the built reader.
import { readFileSync, writeFileSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { FreetumorError } from '../../dist/errors.js'
import { readNifti } from '../../dist/volume/nifti.js'

const kilobytes = (name) =>
  Number(new RegExp(`${name}:\\s+(\\d+)`).exec(readFileSync('/proc/self/status', 'utf8'))[1])

for await (const path of createInterface({ input: process.stdin })) {
  writeFileSync('/proc/self/clear_refs', '5')
  const before = kilobytes('VmRSS')
  const answer = await verdict(path)
  console.log(JSON.stringify({ ...answer, peakBytes: 1024 * (kilobytes('VmHWM') - before) }))
}

async function verdict(path) {
  try {
    const { shape } = await readNifti(path)
    return { verdict: 'ok', voxels: shape[0] * shape[1] * shape[2] }
  } catch (error) {
    if (error instanceof FreetumorError) return { verdict: String(error.facts.reason) }
    return { verdict: `CRASH ${error.name}: ${error.message}` }
  }
}
