import { resolve } from 'node:path'
import type { Command } from 'commander'
import { readForeignText } from '../../foreign-text.js'
import {
  createKey,
  type KeyRecord,
  type KeyStatement,
  keyFolder,
  keyStatement,
  readKeyring,
  revokeKey,
  rotateKey,
  trustKey,
} from '../../provenance/keys.js'
import { signDataset } from '../../provenance/resign.js'
import { type CliIo, printJson, printResult } from '../output.js'
import { type AddCommand, outputOption, withExample } from '../program.js'

type Output = { readonly output: 'text' | 'json' }

/** `freetumor key`: the keys that sign synthetic data sets. */
export const addKeyCommand: AddCommand = (program, io) => {
  const key = withExample(
    program.command('key'),
    'freetumor key create --name "Radiology Lab"',
    'freetumor key show > lab-key.json',
    'freetumor key trust lab-key.json',
  ).description('Create, share, rotate and revoke the keys that sign synthetic data sets')
  addOwn(key, io)
  addForeign(key, io)
}

function addOwn(key: Command, io: CliIo): void {
  key
    .command('create')
    .description('Create the key of this user; later syntheses are signed with it')
    .option('--name <text>', 'Set a name that others see, such as that of a group')
    .addOption(outputOption())
    .action(async ({ name = '', output }: Output & { readonly name?: string }) => {
      const folder = keyFolder(io.env)
      const made = await createKey(folder, name)
      printKey(io, output, made, folder, [
        `created the key ${made.id} in ${folder}`,
        'share it: freetumor key show > key.json',
      ])
    })
  key
    .command('show')
    .description('Print a public key as a file for others')
    .argument('[id]', 'first digits of the id (default: the key that signs)')
    .action(async (id: string | undefined) => {
      printJson(io, 'json', await keyStatement(keyFolder(io.env), id))
    })
  key
    .command('rotate')
    .description('Replace the key; the old one signs the new one, and still verifies')
    .addOption(outputOption())
    .action(async ({ output }: Output) => {
      const folder = keyFolder(io.env)
      const made = await rotateKey(folder)
      printKey(io, output, made, folder, [
        `created the key ${made.id} in ${folder}, signed by the previous key`,
        'share it: freetumor key show > key.json',
      ])
    })
  key
    .command('sign')
    .description('Verify a data set, and sign its manifest with the key of this user')
    .argument('<dir>', 'synthetic data set')
    .addOption(outputOption())
    .action(async (dir: string, { output }: Output) => {
      const signed = await signDataset(resolve(io.cwd, dir), keyFolder(io.env))
      printResult(io, 'key sign', output, signed, () => [
        `signed ${signed.manifest} with the key ${signed.key}`,
      ])
    })
}

function addForeign(key: Command, io: CliIo): void {
  key
    .command('list')
    .description('List the own key and the trusted ones')
    .addOption(outputOption())
    .action(async ({ output }: Output) => {
      const folder = keyFolder(io.env)
      const keys = await readKeyring(folder)
      printResult(io, 'key list', output, { folder, keys }, () =>
        keys.length === 0 ? [`no key in ${folder}`] : keys.map(lineOf),
      )
    })
  key
    .command('trust')
    .description('Trust the public key of another person, or take over its revocation')
    .argument('<file>', 'file that `freetumor key show` printed')
    .addOption(outputOption())
    .action(async (file: string, { output }: Output) => {
      const path = resolve(io.cwd, file)
      const text = await readForeignText(path, { bytes: 64 * 1024 })
      const trusted = await trustKey(keyFolder(io.env), text, file)
      printResult(io, 'key trust', output, trusted, () => [
        lineOf(trusted.key),
        ...(trusted.signedBy === null
          ? ['compare the id with its owner, for example by telephone']
          : [`the trusted key ${trusted.signedBy} signed it`]),
      ])
    })
  key
    .command('revoke')
    .description('Revoke a key: nothing that it signed is authentic any more')
    .argument('<id>', 'first digits of the id')
    .option('--reason <text>', 'Set a reason that others see')
    .addOption(outputOption())
    .action(async (id: string, { reason = '', output }: Output & { readonly reason?: string }) => {
      const folder = keyFolder(io.env)
      const revoked = await revokeKey(folder, id, reason)
      printKey(io, output, revoked, folder, [
        `revoked the key ${revoked.id}`,
        ...(revoked.revoked?.signature ? [`share it: freetumor key show ${revoked.id} > revoked.json`] : []),
      ])
    })
}

function printKey(
  io: CliIo,
  output: Output['output'],
  { use: _, ...statement }: KeyRecord,
  folder: string,
  text: readonly string[],
): void {
  const value: KeyStatement & { readonly folder: string } = { ...statement, folder }
  printResult(io, 'key create|rotate|revoke|show', output, value, () => text)
}

function lineOf({ id, name, use, created, revoked }: KeyRecord): string {
  const state = revoked === null ? use : 'revoked'
  return `${id}  ${state.padEnd(8)} ${created.slice(0, 10)}  ${name}`
}
