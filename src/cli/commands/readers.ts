import { type AddCommand, withExample } from '../program.js'
import { addReadersCreate } from './readers-create.js'
import { addReadersDelete } from './readers-delete.js'
import { addReadersScore } from './readers-score.js'
import { addReadersServe } from './readers-serve.js'

/** `freetumor readers`: a study in which people distinguish real from synthetic tumors. */
export const addReadersCommand: AddCommand = (program, io) => {
  const readers = withExample(
    program.command('readers'),
    'freetumor readers create --real kits --synthetic synthetic --cases 90 --organs kidney --out study',
    'freetumor readers serve study --readers 3',
    'freetumor readers score study',
  ).description('Run a reader study: can people distinguish real from synthetic tumors?')
  addReadersCreate(readers, io)
  addReadersServe(readers, io)
  addReadersScore(readers, io)
  addReadersDelete(readers, io)
}
