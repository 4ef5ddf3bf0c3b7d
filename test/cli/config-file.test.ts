import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { configNamed } from '../../src/cli/config-file.js'
import { memoryIo } from '../helpers/cli.js'
import { temporaryFolder } from '../helpers/temporary.js'

test('an argument names a configuration by its ending, or a shipped one by its name', () => {
  const cwd = temporaryFolder()
  const named = (argument: string) => configNamed(memoryIo({ cwd }), argument)
  expect(named('mine.yaml')).toBe(join(cwd, 'mine.yaml'))
  expect(named('debug-baseline')).toBe('debug-baseline')
  expect(named('manifest.json')).toBeNull()
  expect(named('data')).toBeNull()
  mkdirSync(join(cwd, 'debug-baseline'))
  expect(named('debug-baseline')).toBeNull()
})
