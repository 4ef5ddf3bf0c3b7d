import { EnvironmentError } from '../errors.js'

/**
 * Refuse Yarn's Plug'n'Play, which keeps the files of this package inside archives: Python and worker threads read them.
 * @throws EnvironmentError under Plug'n'Play
 */
export function refusePnp(versions: Readonly<Record<string, string | undefined>> = process.versions): void {
  if (versions.pnp !== undefined)
    throw new EnvironmentError(
      "freetumor does not run under Yarn's Plug'n'Play, because Python needs its files on disk",
      {
        hint: 'set `nodeLinker: node-modules` in .yarnrc.yml and run `yarn install` again',
      },
    )
}
