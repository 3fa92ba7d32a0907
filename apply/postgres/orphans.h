// Finds rows that a foreign key of the target would not have let be, where it did not act while they were written.
#pragma once

#include <span>

#include "apply/postgres/session.h"
#include "apply/target.h"
#include "core/error.h"
#include "db/postgres/connection.h"

namespace crossfade::apply {

// As ApplySession::FindOrphans, over a connection whose open transaction has written the rows. `options`: types,
// tenancy. Changes how the transaction plans: nothing should be written in it any more.
Status FindPgOrphans(const PgSessionOptions& options, postgres::Connection* connection, const Route& route,
                     const OrphanSearch& search, const ApplySession::OrphanSink& sink);

}  // namespace crossfade::apply
