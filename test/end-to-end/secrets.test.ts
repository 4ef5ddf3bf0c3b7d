import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { loadConfig } from '../../src/config/load.js'
import { startTraining } from '../../src/pipeline/train/run.js'
import { familyOf } from '../../src/runtime/process.js'
import { packageRoot } from '../../src/runtime/python.js'
import { torchRuntime } from '../../src/runtime/torch-runtime.js'
import { temporaryFolder } from '../helpers/temporary.js'

const read = (path: string): string => {
  try {
    return readFileSync(path, 'latin1')
  } catch {
    // a process that ended meanwhile
    return ''
  }
}

it('the tokens of a run are in no command line and in no file that it leaves', async () => {
  const folder = temporaryFolder()
  const config = await loadConfig(join(packageRoot, 'configs/debug-baseline.yaml'), {
    set: [`data.root=${join(folder, 'data')}`, `prepare.cache=${join(folder, 'cache')}`, 'training.steps=2'],
  })
  const run = startTraining(config, torchRuntime(), { out: join(folder, 'run') })
  const tokens = new Set<string>()
  for await (const event of run) {
    if (event.type !== 'started') continue
    const { token } = JSON.parse(read(join(run.directory, 'control.json'))) as { token: string }
    tokens.add(token)
    for (const pid of await familyOf(run.id))
      for (const [, found] of read(`/proc/${pid}/environ`).matchAll(/(?:^|\0)FREETUMOR_TOKEN=([^\0]+)/g))
        tokens.add(found!)
    const commands = readdirSync('/proc').filter((name) => /^\d+$/.test(name))
    for (const pid of commands)
      for (const secret of tokens) expect(read(`/proc/${pid}/cmdline`)).not.toContain(secret)
  }
  await run.result
  expect(tokens.size).toBe(2)
  const files = readdirSync(run.directory, { recursive: true, withFileTypes: true })
  for (const file of files.filter((one) => one.isFile())) {
    const text = read(join(file.parentPath, file.name))
    for (const secret of tokens) expect(text.includes(secret), file.name).toBe(false)
  }
})
