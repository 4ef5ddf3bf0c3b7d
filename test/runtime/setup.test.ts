import { cpSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { EnvironmentError } from '../../src/errors.js'
import { familyOf } from '../../src/runtime/process.js'
import { packageRoot, resolvePython } from '../../src/runtime/python.js'
import { readRequirements } from '../../src/runtime/requirements.js'
import { type SetupOptions, setUpRuntime } from '../../src/runtime/setup.js'
import { startCli } from '../helpers/cli.js'
import { temporaryFolder } from '../helpers/temporary.js'
import { until } from '../helpers/until.js'

const PRETENDER = join(packageRoot, 'test/fixtures/pretend-python')
const PINS = readRequirements().pins

interface Pretended {
  readonly version?: string
  readonly packages?: Record<string, string>
}

/** A pretended interpreter `<folder>/bin/python`; see the fixture. */
function pretendPython(folder: string, { version, packages }: Pretended = {}): string {
  const bin = join(folder, 'bin')
  mkdirSync(bin, { recursive: true })
  cpSync(PRETENDER, join(bin, 'python'))
  if (version) writeFileSync(join(bin, 'version'), version)
  if (packages) writeFileSync(join(bin, 'packages.json'), JSON.stringify(packages))
  return join(bin, 'python')
}

/** The environment in which records of set-ups lie in the test's own folder. */
function recordsOf(cwd: string): { readonly XDG_STATE_HOME: string } {
  return { XDG_STATE_HOME: join(cwd, 'state') }
}

/** Sets up in a folder of the test, with a bare Python 3.11 as what is found. */
function setting(cwd: string, env: Record<string, string> = {}) {
  const python = pretendPython(join(cwd, 'base'))
  return (options: SetupOptions = {}) =>
    setUpRuntime({ cwd, python, env: { PATH: process.env.PATH, ...recordsOf(cwd), ...env }, ...options })
}

describe('setup without a runtime', () => {
  test('creates one from a bare Python, exactly as pinned, and reports it', async () => {
    const cwd = temporaryFolder()
    const done = await setting(cwd)()
    expect(done).toMatchObject({ action: 'created', python: join(cwd, '.venv/bin/python') })
    expect(done.packages.torch).toBe(PINS.torch)
    expect(done.summary).toContain(join(cwd, '.venv'))
    expect(resolvePython({ cwd, env: recordsOf(cwd) })).toBe(done.python)
  })

  test('creates it in the given folder', async () => {
    const cwd = temporaryFolder()
    expect((await setting(cwd)({ venv: 'deep/er' })).python).toBe(join(cwd, 'deep/er/bin/python'))
  })

  test('refuses a Python of another version, naming both', async () => {
    const cwd = temporaryFolder()
    const old = pretendPython(join(cwd, 'old'), { version: '3.9.2' })
    const failing = setting(cwd)({ python: old })
    await expect(failing).rejects.toThrow(`${old}: wrong Python (expected 3.11 or 3.12, found 3.9.2)`)
    expect(existsSync(join(cwd, '.venv'))).toBe(false)
  })

  test('lists its attempts when no Python is found', async () => {
    const cwd = temporaryFolder()
    const done = await startCli(['setup'], { cwd, env: { PATH: '/nowhere', FREETUMOR_PYTHON: undefined } })
      .finished
    expect(done).toMatchObject({ code: 4, stdout: '' })
    expect(done.stderr).toMatch(/Python 3\.11 or 3\.12 is needed: python3\.11 was not found, .*\nhint: /)
  })

  test('will not touch a folder that is something else', async () => {
    const cwd = temporaryFolder()
    mkdirSync(join(cwd, 'mine'))
    writeFileSync(join(cwd, 'mine/thesis.txt'), 'x')
    await expect(setting(cwd)({ venv: 'mine' })).rejects.toThrow('is not a Python environment')
    expect(readFileSync(join(cwd, 'mine/thesis.txt'), 'utf8')).toBe('x')
  })

  test('reports a folder that cannot be written', async () => {
    const cwd = temporaryFolder()
    writeFileSync(join(cwd, 'file'), '')
    await expect(setting(cwd)({ venv: 'file/venv' })).rejects.toThrow(/cannot be written \(ENOTDIR\)/)
  })
})

describe('setup with a runtime', () => {
  test('finds nothing to do the second time', async () => {
    const cwd = temporaryFolder()
    const setUp = setting(cwd, { PRETEND_PIP: '' })
    const first = await setUp()
    const again = await setting(cwd, { PRETEND_PIP: 'fails' })()
    expect(again).toMatchObject({ action: 'reused', python: first.python })
    expect(again.summary).toMatch(/^Nothing to do/)
  })

  test('brings it to the pins when a package is not as pinned', async () => {
    const cwd = temporaryFolder()
    const setUp = setting(cwd)
    await setUp()
    const list = join(cwd, '.venv/bin/packages.json')
    writeFileSync(list, JSON.stringify({ ...PINS, monai: '1.5.0' }))
    const again = await setUp()
    expect(again).toMatchObject({ action: 'updated' })
    expect(again.packages.monai).toBe(PINS.monai)
  })

  test('adds what the tests need with dev', async () => {
    const cwd = temporaryFolder()
    const setUp = setting(cwd)
    await setUp()
    expect((await setUp({ dev: true })).action).toBe('updated')
    expect((await setUp({ dev: true })).action).toBe('reused')
    expect((await setUp({ dev: false })).action).toBe('reused')
  })
})

describe('setup with an optional part', () => {
  test('adds its packages to a runtime, and a later setup without it keeps them', async () => {
    const cwd = temporaryFolder()
    const setUp = setting(cwd)
    await setUp()
    expect(await setUp({ extras: ['dicom'] })).toMatchObject({ action: 'updated' })
    expect(readFileSync(join(cwd, '.venv/bin/packages.json'), 'utf8')).toContain('"highdicom"')
    expect(await setUp({ extras: ['dicom'] })).toMatchObject({ action: 'reused' })
    expect(await setUp()).toMatchObject({ action: 'reused' })
  })

  test('lists the packages that a named Python lacks', async () => {
    const cwd = temporaryFolder()
    const python = pretendPython(join(cwd, 'own'), { packages: PINS })
    const named = setUpRuntime({ cwd, extras: ['dicom'], env: { FREETUMOR_PYTHON: python } })
    await expect(named).rejects.toThrow(/dcm2niix is missing, pydicom is missing, highdicom is missing/)
  })

  test('refuses an unknown part with the known ones', async () => {
    const done = await startCli(['setup', '--extra', 'dicon'], { cwd: temporaryFolder() }).finished
    expect(done.code).toBe(2)
    expect(done.stderr).toContain('dicom')
  })
})

describe('a set-up that was not finished', () => {
  test('because pip failed is an error with the last lines of pip, and is not taken for a runtime', async () => {
    const cwd = temporaryFolder()
    const failing = setting(cwd, { PRETEND_PIP: 'fails' })()
    await expect(failing).rejects.toThrow(EnvironmentError)
    await expect(failing).rejects.toThrow(/No matching distribution found for torch==2\.13\.0/)
    expect(() => resolvePython({ cwd, env: recordsOf(cwd) })).toThrow(/was not finished/)
    expect((await setting(cwd)()).action).toBe('created')
  })

  test('is noticed although pip reports success', async () => {
    const failing = setting(temporaryFolder(), { PRETEND_PIP: 'lies' })()
    await expect(failing).rejects.toThrow(
      /pip installed other versions: monai is missing.*, torch is missing/,
    )
  })

  test('because it was aborted ends pip and rejects with the reason', async () => {
    const cwd = temporaryFolder()
    const controller = new AbortController()
    const running = setting(cwd, { PRETEND_PIP: 'hangs' })({ signal: controller.signal })
    running.catch(() => {})
    await until(() => existsSync(join(cwd, '.venv/bin/pip-is-at-work')))
    const { runId } = JSON.parse(readFileSync(join(cwd, '.venv/freetumor-setup.unfinished'), 'utf8'))
    controller.abort()
    await expect(running).rejects.toThrow(/abort/)
    expect(await familyOf(runId)).toEqual([])
  })

  test('because it was killed is made again from nothing, and its pip is ended', async () => {
    const cwd = temporaryFolder()
    const setUp = setting(cwd)
    const env = { PRETEND_PIP: 'hangs', FREETUMOR_PYTHON: undefined, ...recordsOf(cwd) }
    const { child, finished } = startCli(['setup', '--python', 'base/bin/python'], { cwd, env })
    await until(() => existsSync(join(cwd, '.venv/bin/pip-is-at-work')))
    await expect(setUp()).rejects.toThrow(
      `${join(cwd, '.venv')}: another set-up runs there (process ${child.pid})`,
    )
    child.kill('SIGKILL')
    const { runId } = JSON.parse(readFileSync(join(cwd, '.venv/freetumor-setup.unfinished'), 'utf8'))
    await until(async () => child.signalCode !== null)
    expect(() => resolvePython({ cwd, env: recordsOf(cwd) })).toThrow(/was not finished/)
    expect((await setUp()).action).toBe('created')
    expect(await familyOf(runId)).toEqual([])
    expect(existsSync(join(cwd, '.venv/bin/pip-is-at-work'))).toBe(false)
    await finished
  })
})

describe('an existing Python', () => {
  test('that fulfils every minimum is adopted, with its differences from the pins', async () => {
    const cwd = temporaryFolder()
    const packages = { ...PINS, torch: '2.11.0+cu130' }
    const theirs = pretendPython(join(cwd, 'theirs'), { packages })
    const done = await setting(cwd)({ python: theirs })
    expect(done).toMatchObject({ action: 'adopted', python: theirs })
    expect(done.summary).toContain('not as pinned: torch 2.11.0+cu130 (pinned 2.13.0)')
    expect(resolvePython({ cwd, env: recordsOf(cwd) })).toBe(theirs)
    expect((await setUpRuntime({ cwd, env: recordsOf(cwd) })).action).toBe('reused')
  })

  test('whose torch is too old is refused, naming what was found and what is needed', async () => {
    const cwd = temporaryFolder()
    const theirs = pretendPython(join(cwd, 'theirs'), { packages: { ...PINS, torch: '2.4.0' } })
    const failing = setting(cwd)({ python: theirs })
    await expect(failing).rejects.toThrow(
      `${theirs}: cannot be adopted: torch 2.4.0 (2.10 or newer is needed)`,
    )
  })

  test('in the folder itself is taken when it is complete, filled when empty, and left alone otherwise', async () => {
    const cwd = temporaryFolder()
    const setUp = (venv: string) => setting(cwd)({ venv })
    pretendPython(join(cwd, 'complete'), { packages: PINS })
    pretendPython(join(cwd, 'empty'), { packages: { pip: '24.0', setuptools: '80' } })
    pretendPython(join(cwd, 'theirs'), { packages: { pip: '24.0', django: '5' } })
    expect((await setUp('complete')).action).toBe('adopted')
    expect((await setUp('empty')).action).toBe('updated')
    await expect(setUp('theirs')).rejects.toThrow(/: an environment with other packages: torch is missing/)
  })

  test('in ./.venv without a record is not run, unless the folder is named', async () => {
    const cwd = temporaryFolder()
    const ran = join(cwd, 'ran')
    mkdirSync(join(cwd, '.venv/bin'), { recursive: true })
    const python = join(cwd, '.venv/bin/python')
    writeFileSync(python, `#!/bin/sh\ntouch ${ran}\n`, { mode: 0o755 })
    writeFileSync(
      join(cwd, '.venv/freetumor-runtime.json'),
      JSON.stringify({ version: 1, python, made: 'created' }),
    )
    await expect(setting(cwd)()).rejects.toThrow(`${join(cwd, '.venv')} is not trusted`)
    await expect(setUpRuntime({ cwd, env: { ...recordsOf(cwd), PATH: '/nowhere' } })).rejects.toThrow(
      'is not trusted',
    )
    expect(existsSync(ran)).toBe(false)
    pretendPython(join(cwd, '.venv'), { packages: PINS })
    expect((await setting(cwd)({ venv: '.venv' })).action).toBe('reused')
    expect(resolvePython({ cwd, env: recordsOf(cwd) })).toBe(python)
  })

  test('is not made where no record of it can be written', async () => {
    const cwd = temporaryFolder()
    writeFileSync(join(cwd, 'file'), '')
    const env = { XDG_STATE_HOME: join(cwd, 'file') }
    await expect(setting(cwd, env)()).rejects.toThrow(
      /the record of the runtime cannot be written below .*file \(ENOTDIR\)/,
    )
    expect(existsSync(join(cwd, '.venv'))).toBe(false)
  })

  test('named by FREETUMOR_PYTHON overrides everything: it is checked and nothing is made', async () => {
    const cwd = temporaryFolder()
    const named = pretendPython(join(cwd, 'named'), { packages: PINS })
    const done = await setting(cwd, { FREETUMOR_PYTHON: named })()
    expect(done).toMatchObject({ action: 'adopted', python: named })
    expect(done.summary).toMatch(/FREETUMOR_PYTHON is set and overrides other settings/)
    expect(existsSync(join(cwd, '.venv'))).toBe(false)
    const bare = pretendPython(join(cwd, 'bare'))
    const failing = setting(cwd, { FREETUMOR_PYTHON: bare })()
    await expect(failing).rejects.toThrow(
      /FREETUMOR_PYTHON=.*bare.*: packages are missing or too old: torch is missing/,
    )
  })
})
