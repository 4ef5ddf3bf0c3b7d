/** A flag with a new name. */
interface OldSpelling {
  readonly command: string
  readonly old: string
  readonly now: string
}

/** Version that accepts old spellings no longer. */
const UNTIL = '0.3'

/** Flags of version 0.1 that have another name. docs/migration.md lists them. */
export const OLD_SPELLINGS: readonly OldSpelling[] = [
  { command: 'evaluate', old: '--labels-ids', now: '--label-ids' },
  { command: 'predict', old: '--processes', now: '--workers' },
  { command: 'simulate', old: '--centres', now: '--positions' },
  { command: 'simulate', old: '--count', now: '--tumors' },
  { command: 'synthesize', old: '--label-map', now: '--map' },
  { command: 'synthesize', old: '--processes', now: '--workers' },
]

/** Return a command line with the new names of its flags; each old one gives a note. */
export function withNewSpellings(argv: readonly string[], note: (text: string) => void): readonly string[] {
  const renamed = OLD_SPELLINGS.filter(({ command }) => command === argv[0])
  return argv.map((word) => {
    const [flag] = word.split('=', 1)
    const found = renamed.find(({ old }) => old === flag)
    if (found === undefined) return word
    note(`note: \`${found.old}\` is now \`${found.now}\`; the old spelling works until ${UNTIL}`)
    return found.now + word.slice(found.old.length)
  })
}
