import { chmod, mkdir, readdir, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import {
  createKey,
  isSignature,
  keyFolder,
  keyStatement,
  readKeyring,
  revokeKey,
  rotateKey,
  signingKey,
  trustKey,
} from '../../src/provenance/keys.js'
import { temporaryFolder } from '../helpers/temporary.js'

describe('the key of a user', () => {
  it('is a file that only the user can read, outside the data set', async () => {
    const root = temporaryFolder()
    const folder = join(root, 'keys')
    const { id } = await createKey(folder, 'Lab')
    expect((await stat(join(folder, `${id}.pem`))).mode & 0o777).toBe(0o600)
    expect((await stat(folder)).mode & 0o777).toBe(0o700)
    await expect(signingKey(folder, root)).rejects.toThrow('the keys must lie outside the data set')
    await mkdir(join(root, 'set'))
    const key = await signingKey(folder, join(root, 'set'))
    expect(isSignature('text', key!.publicKey, key!.sign('text'))).toBe(true)
    expect(isSignature('texts', key!.publicKey, key!.sign('text'))).toBe(false)
  })

  it('is refused if other users can read it, with a command that a shell takes', async () => {
    const [folder, out] = [join(temporaryFolder(), 'my keys'), temporaryFolder()]
    const { id } = await createKey(folder)
    await chmod(join(folder, `${id}.pem`), 0o644)
    await expect(signingKey(folder, out)).rejects.toMatchObject({
      message: expect.stringContaining('other users can read the key'),
      commandHint: `run \`chmod 600 '${join(folder, `${id}.pem`)}'\``,
    })
  })

  it('lies in a folder, not in a file', async () => {
    const file = join(temporaryFolder(), 'keys')
    await writeFile(file, '')
    await expect(readKeyring(file)).rejects.toThrow(`${file}: not a folder of keys`)
  })

  it('is found by at least 4 digits of its id', async () => {
    const folder = temporaryFolder()
    const { id } = await createKey(folder)
    expect(await keyStatement(folder, id.slice(0, 4))).toMatchObject({ id })
    await expect(keyStatement(folder, id.slice(0, 3))).rejects.toThrow('expected its first 4 digits or more')
  })

  it('is created once; a folder without keys gives none', async () => {
    const [folder, out] = [temporaryFolder(), temporaryFolder()]
    expect(await signingKey(folder, out)).toBeNull()
    await createKey(folder)
    await expect(createKey(folder)).rejects.toThrow('there is a key')
  })

  it('lies in the folder of FREETUMOR_KEYS, else in the state folder of the user', () => {
    expect(keyFolder({ FREETUMOR_KEYS: '/some/keys' })).toBe('/some/keys')
    expect(keyFolder({ XDG_STATE_HOME: '/state' })).toBe('/state/freetumor/keys')
    expect(keyFolder({ HOME: '/home/me' })).toBe('/home/me/.local/state/freetumor/keys')
  })
})

describe('the keys of others', () => {
  it('are trusted with a statement; a rotated key names the one that signed it', async () => {
    const [theirs, mine] = [temporaryFolder(), temporaryFolder()]
    const first = await createKey(theirs, 'Lab')
    expect(await trustKey(mine, JSON.stringify(await keyStatement(theirs)), 'file')).toMatchObject({
      key: { id: first.id, use: 'trusted' },
      signedBy: null,
    })
    const second = await rotateKey(theirs)
    expect(await trustKey(mine, JSON.stringify(await keyStatement(theirs)), 'file')).toMatchObject({
      key: { id: second.id, name: 'Lab' },
      signedBy: first.id,
    })
    expect((await readKeyring(theirs)).map(({ use }) => use)).toEqual(['retired', 'active'])
  })

  it('take over a signed revocation, and nothing undoes it', async () => {
    const [theirs, mine] = [temporaryFolder(), temporaryFolder()]
    const { id } = await createKey(theirs)
    const before = JSON.stringify(await keyStatement(theirs))
    await trustKey(mine, before, 'file')
    await revokeKey(theirs, id, 'stolen')
    expect((await readdir(theirs)).filter((name) => name.endsWith('.pem'))).toEqual([])
    await trustKey(mine, JSON.stringify(await keyStatement(theirs, id)), 'file')
    expect(await readKeyring(mine)).toMatchObject([{ revoked: { reason: 'stolen' } }])
    await trustKey(mine, before, 'file')
    expect(await readKeyring(mine)).toMatchObject([{ revoked: { reason: 'stolen' } }])
  })

  it.each([
    ['another public key', { publicKey: 'AAAA' }, 'wrong id'],
    ['a forged revocation', { revoked: { time: 'now', reason: '', signature: 'AAAA' } }, 'of the revocation'],
    ['a forged previous key', { previous: { publicKey: 'AAAA', signature: 'AAAA' } }, 'of the previous key'],
    ['another key', { more: 1 }, 'not a public key'],
  ])('are refused with %s', async (_, change, message) => {
    const [theirs, mine] = [temporaryFolder(), temporaryFolder()]
    await createKey(theirs)
    const text = JSON.stringify({ ...(await keyStatement(theirs)), ...change })
    await expect(trustKey(mine, text, 'file')).rejects.toThrow(message)
    expect(await readKeyring(mine)).toEqual([])
  })
})
