import { execFileSync } from 'node:child_process'
import { expect, test } from 'vitest'
import { cleanEnvironment, resolvePython } from '../src/runtime/python.js'
import { cannotBeRead } from '../src/system-errors.js'

const CODES = [
  'ENOENT',
  'ENOTDIR',
  'EACCES',
  'EPERM',
  'EMFILE',
  'ENFILE',
  'EIO',
  'ESTALE',
  'EISDIR',
  'ENAMETOOLONG',
  'ELOOP',
  'ENOMEM',
  'EBADF',
] as const

const PROGRAM = `
import errno, json, sys
from freetumor_runtime.system_errors import cannot_be_read
codes = json.loads(sys.argv[1])
print(json.dumps([cannot_be_read("a.nii", OSError(getattr(errno, code), "x"), "scan") for code in codes]))
`

test('TypeScript and Python have the same words for a path that cannot be read', () => {
  const stdout = execFileSync(resolvePython(), ['-c', PROGRAM, JSON.stringify(CODES)], {
    env: cleanEnvironment({ threads: 1 }),
    encoding: 'utf8',
  })
  expect(JSON.parse(stdout)).toEqual(CODES.map((code) => cannotBeRead('a.nii', code, 'scan')))
})
